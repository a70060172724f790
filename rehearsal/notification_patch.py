"""What is published to SNS reaches the rehearsal's own subscriber and nobody else: no message leaves this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.moto_api._internal import mock_random
from moto.sns.models import Topic

from rehearsal.alarm_rule import State
from rehearsal.moto_changes import Changes
from rehearsal.notifications import Notification

Tell = Callable[[Notification], None]


def install(changes: Changes, tell: Tell) -> None:
    """Let `tell` get every message, and let alarms begin and change as CloudWatch's do."""
    _publish(changes, tell)
    _state_of_alarms(changes)


def _publish(changes: Changes, tell: Tell) -> None:
    # moto's own would post to the addresses of http and https subscriptions.
    def publish(
        self: Any,
        message: str,
        subject: str | None = None,
        message_attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group_id: str | None = None,
        *_: Any,
        **__: Any,
    ) -> str:
        told = {key: str(value.get("Value", "")) for key, value in (message_attributes or {}).items()}
        tell(Notification(self.arn, subject or "", message, told))
        number = str(mock_random.uuid4())
        self.sent_notifications.append((number, message, subject, message_attributes, group_id))
        return number

    changes.attribute(Topic, "publish", publish)


def _state_of_alarms(changes: Changes) -> None:
    # API reference, PutMetricAlarm: a new alarm has the state INSUFFICIENT_DATA, and an update leaves the state alone.
    # In moto every one begins with OK.
    original = CloudWatchBackend.put_metric_alarm

    def put_metric_alarm(self: Any, name: str, *arguments: Any, **named: Any) -> Any:
        before = self.alarms.get(name)
        alarm = original(self, name, *arguments, **named)
        if before is None:
            alarm.state_value = State.INSUFFICIENT_DATA.value
        else:
            for kept in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "history"):
                setattr(alarm, kept, getattr(before, kept))
        return alarm

    changes.attribute(CloudWatchBackend, "put_metric_alarm", put_metric_alarm)
