"""CloudWatch's part in the rehearsal: a sample of every server a minute, and the alarms that follow from it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from rehearsal.alarm_rule import AlarmRule, State

MINUTE = 60
EARLY = 1
KEPT = 3 * 3600
"""Seconds. CloudWatch keeps values of a minute for 15 days; no alarm here looks back as far as this."""

# SNS: at most 100 characters.
LONGEST_SUBJECT = 99

REGIONS = {
    "eu-central-1": "EU (Frankfurt)",
    "eu-west-1": "EU (Ireland)",
    "us-east-1": "US East (N. Virginia)",
    "us-west-2": "US West (Oregon)",
}
"""What CloudWatch calls a region in its messages; any other has its own name here."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One value of a metric of AWS's own."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    value: float


class Alarms:
    """Evaluates every alarm of the emulated CloudWatch when a minute is over, as AWS does with periods of a minute.

    `look` gives the samples of AWS's own metrics at this moment; the hosts put theirs (PutMetricData) themselves.
    """

    def __init__(
        self,
        region: str,
        lock: AbstractContextManager[Any],
        look: Callable[[], Iterable[Sample]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._region, self._lock, self._look, self._clock = region, lock, look, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="alarms", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(MINUTE - self._clock() % MINUTE):
            try:
                self.step()
            except Exception:  # noqa: BLE001  (logged; the loop must outlive it)
                # The next minute may do better; the log says what was wrong.
                _log.exception("alarms were not evaluated")

    def step(self) -> None:
        """Sample the minute that is just over, and evaluate all alarms up to its end."""
        # A timer may wake a little early; looking may take its time on a busy machine.
        end = int(self._clock() + EARLY) // MINUTE * MINUTE
        samples = list(self._look())
        with self._lock:
            backend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][self._region]
            for one in samples:
                datum = {
                    "MetricName": one.metric,
                    "Value": one.value,
                    # Without a time zone, as moto keeps them: it compares them with those that a request names.
                    "Timestamp": datetime.fromtimestamp(end - MINUTE, UTC).replace(tzinfo=None),
                    "Dimensions": [{"Name": key, "Value": value} for key, value in one.dimensions.items()],
                }
                backend.put_metric_data(one.namespace, [datum])
            backend.metric_data[:] = [one for one in backend.metric_data if _seconds(one.timestamp) > end - KEPT]
            for alarm in list(backend.alarms.values()):
                if alarm.metric_name and end % int(alarm.period) == 0:
                    self._evaluate(backend, alarm, end)

    def _evaluate(self, backend: Any, alarm: Any, end: int) -> None:
        rule = AlarmRule(
            statistic=alarm.statistic,
            comparison=alarm.comparison_operator,
            threshold=float(alarm.threshold),
            period=int(alarm.period),
            count=int(alarm.evaluation_periods),
            needed=int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
            missing=alarm.treat_missing_data or "missing",
        )
        periods: list[list[float]] = [[] for _ in range(rule.span)]
        begin = end - rule.span * rule.period
        for at, value in _values(backend.metric_data, alarm):
            if begin <= at < end:
                periods[int((at - begin) // rule.period)].append(value)
        state = rule.decide(periods)
        if state is None or state == alarm.state_value:
            return
        before = alarm.state_value
        newest = [values for values in periods if values][-rule.count :]
        reason = (
            f"Of the last {rule.span} periods of {rule.period} s, {sum(map(bool, periods))} have values, the newest "
            f"{newest}; {rule.needed} of {rule.count} must be {rule.comparison} {rule.threshold:g}, "
            f"missing ones are {rule.missing}"
        )
        alarm.update_state(reason, "{}", state.value)
        _log.info("alarm %s: %s -> %s", alarm.name, before, state)
        if alarm.actions_enabled:
            self._tell(alarm, before, state)

    def _tell(self, alarm: Any, before: str, state: State) -> None:
        actions = {
            State.ALARM: alarm.alarm_actions,
            State.OK: alarm.ok_actions,
            State.INSUFFICIENT_DATA: alarm.insufficient_data_actions,
        }[state]
        place = REGIONS.get(self._region, self._region)
        subject = f'{state}: "{alarm.name}" in {place}'[:LONGEST_SUBJECT]
        text = json.dumps(_message(alarm, before, state, place))
        topics = sns_backends[DEFAULT_ACCOUNT_ID][self._region]
        for action in actions or []:
            if action in topics.topics:
                topics.publish(text, action, subject=subject)
            else:
                _log.warning("alarm %s: %s is not a topic", alarm.name, action)


def _values(data: Iterable[Any], alarm: Any) -> Iterator[tuple[float, float]]:
    wanted = {(one.name, one.value) for one in alarm.dimensions}
    for datum in data:
        if (datum.namespace, datum.name) == (alarm.namespace, alarm.metric_name) and {
            (one.name, one.value) for one in datum.dimensions
        } == wanted:
            # Statistics that were put as such stand for themselves as their largest value.
            yield _seconds(datum.timestamp), float(getattr(datum, "value", getattr(datum, "max", 0.0)))


def _seconds(moment: datetime) -> float:
    # moto's own have no time zone, and are UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _message(alarm: Any, before: str, state: State, place: str) -> dict[str, Any]:
    """What CloudWatch sends to a topic (CloudWatch user guide, "Notifying users on alarm changes")."""

    def when(moment: datetime) -> str:
        return datetime.fromtimestamp(_seconds(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"

    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": DEFAULT_ACCOUNT_ID,
        "AlarmConfigurationUpdatedTimestamp": when(alarm.configuration_updated_timestamp),
        "NewStateValue": state.value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": when(alarm.state_updated_timestamp),
        "Region": place,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": "Statistic",
            "Statistic": str(alarm.statistic).upper(),
            "Unit": alarm.unit,
            "Dimensions": [{"name": one.name, "value": one.value} for one in alarm.dimensions],
            "Period": int(alarm.period),
            "EvaluationPeriods": int(alarm.evaluation_periods),
            "DatapointsToAlarm": int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
            "ComparisonOperator": alarm.comparison_operator,
            "Threshold": float(alarm.threshold),
            "TreatMissingData": alarm.treat_missing_data or "missing",
        },
    }
