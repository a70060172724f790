"""Emulated CloudWatch alarms: from the power of a host, or the silence of one, to a message of the topic."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from rehearsal.alarms import KEPT, MINUTE, Alarms, Sample
from rehearsal.aws_metrics import status_checks, target_health
from rehearsal.machine import Power
from rehearsal.notifications import Notification, Notifications
from rehearsal.target_health import State
from tests.rehearsal.control_plane import REGION, Emulated, emulated
from tests.rehearsal.test_metadata import HOST

# A whole minute, far from now: nothing but the clock that is given may count.
BEGIN = 1_800_000_000
DIMENSIONS = [{"Name": "InstanceId", "Value": "i-1"}]


@pytest.fixture(scope="module")
def told() -> list[Notification]:
    """What the topic got, of all tests of this file."""
    return []


@pytest.fixture(scope="module")
def cloud(told: list[Notification]) -> Iterator[Emulated]:
    with emulated(tell=told.append) as found:
        yield found


class Scene:
    """Alarms with a clock of their own, and what the topic got."""

    def __init__(self, aws: Emulated, told: list[Notification]) -> None:
        for service in ("cloudwatch", "sns"):
            get_backend(service).reset()
        self.aws, self.now = aws, BEGIN
        self.told = told
        self.told.clear()
        self.samples: list[Sample] = []
        self.topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
        self.alarms = Alarms(REGION, aws.cloud.lock, lambda: self.samples, lambda: self.now)

    def alarm(self, **more: Any) -> None:
        wanted = {
            "AlarmName": "tripod-t-server-1-instance",
            "AlarmDescription": "server-1 is off.",
            "Namespace": "AWS/EC2",
            "MetricName": "StatusCheckFailed_Instance",
            "Dimensions": DIMENSIONS,
            "Statistic": "Maximum",
            "Period": MINUTE,
            "EvaluationPeriods": 2,
            "Threshold": 0.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "breaching",
            "AlarmActions": [self.topic],
            "OKActions": [self.topic],
        }
        self.aws.client("cloudwatch").put_metric_alarm(**(wanted | more))

    def minute(self, failed: float | None) -> str:
        """One minute passes in which the check gave this value; the state of the alarm after it."""
        dimensions = {"InstanceId": "i-1"}
        self.samples = [] if failed is None else [Sample("AWS/EC2", "StatusCheckFailed_Instance", dimensions, failed)]
        self.now += MINUTE
        self.alarms.step()
        return self.state()

    def state(self) -> str:
        (found,) = self.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        return str(found["StateValue"])


@pytest.fixture
def scene(cloud: Emulated, told: list[Notification]) -> Scene:
    return Scene(cloud, told)


def test_a_server_that_fails_its_check_twice_alarms_and_is_over_with_the_first_good_one(scene: Scene) -> None:
    scene.alarm()
    assert scene.state() == "INSUFFICIENT_DATA"
    states = [scene.minute(failed) for failed in (0, 0, 1, 1, 1, 0)]
    assert states == ["OK", "OK", "OK", "ALARM", "ALARM", "OK"]
    # One message a change, none for the minutes between.
    assert [one.subject.split(":")[0] for one in scene.told] == ["OK", "ALARM", "OK"]


def test_the_message_has_the_shape_of_cloudwatchs(scene: Scene) -> None:
    scene.alarm()
    for failed in (0, 0, 1, 1):
        scene.minute(failed)
    told = scene.told[-1]
    assert told.topic == scene.topic
    assert told.subject == 'ALARM: "tripod-t-server-1-instance" in EU (Frankfurt)'
    message = json.loads(told.message)
    assert told.alarm == message
    assert message["AlarmName"] == "tripod-t-server-1-instance"
    assert message["AlarmDescription"] == "server-1 is off."
    assert (message["OldStateValue"], message["NewStateValue"]) == ("OK", "ALARM")
    assert message["AlarmArn"].endswith(":alarm:tripod-t-server-1-instance")
    assert message["Trigger"]["Dimensions"] == [{"name": "InstanceId", "value": "i-1"}]
    assert message["Trigger"]["Statistic"] == "MAXIMUM"
    assert datetime.strptime(message["StateChangeTime"], "%Y-%m-%dT%H:%M:%S.%f%z").tzinfo is not None


def test_silence_alarms_where_missing_is_breaching_and_only_there(scene: Scene) -> None:
    scene.alarm()
    assert [scene.minute(0), scene.minute(0)] == ["OK", "OK"]
    # Two periods are looked at besides the two that count: values in them put the alarm off.
    assert [scene.minute(None) for _ in range(4)] == ["OK", "OK", "OK", "ALARM"]
    scene.alarm(TreatMissingData="ignore")
    assert scene.minute(None) == "ALARM"
    scene.alarm(TreatMissingData="notBreaching")
    assert scene.minute(None) == "OK"
    scene.alarm(TreatMissingData="missing")
    assert scene.minute(None) == "INSUFFICIENT_DATA"


def test_a_heartbeat_of_a_host_counts_in_the_minute_in_which_it_was_put(scene: Scene) -> None:
    heart = {"Namespace": "Tripod/t", "MetricName": "Heartbeat", "Dimensions": [], "EvaluationPeriods": 3}
    scene.alarm(**heart, ComparisonOperator="LessThanThreshold", Threshold=1.0)
    states = []
    for beats in (1, 1, 1, 0, 0, 0, 0, 0, 1):
        if beats:
            datum = {"MetricName": "Heartbeat", "Value": 1.0, "Timestamp": datetime.fromtimestamp(scene.now + 30, UTC)}
            scene.aws.client("cloudwatch").put_metric_data(Namespace="Tripod/t", MetricData=[datum])
        states.append(scene.minute(None))
    assert states == ["OK"] * 7 + ["ALARM", "OK"]


def test_other_metrics_and_other_servers_do_not_count(scene: Scene) -> None:
    scene.alarm()
    scene.minute(0)
    for number in range(6):
        scene.now += MINUTE
        scene.samples = [
            Sample("AWS/EC2", "StatusCheckFailed_Instance", {"InstanceId": "i-1"}, 0),
            Sample("AWS/EC2", "StatusCheckFailed_Instance", {"InstanceId": "i-2"}, 1),
            Sample("AWS/EC2", "StatusCheckFailed_System", {"InstanceId": "i-1"}, 1),
        ]
        scene.alarms.step()
        assert scene.state() == "OK", number


def test_an_update_of_an_alarm_keeps_its_state(scene: Scene) -> None:
    scene.alarm()
    assert [scene.minute(1), scene.minute(1)][-1] == "ALARM"
    scene.alarm(AlarmDescription="other words")
    assert scene.state() == "ALARM"


def test_an_alarm_without_actions_tells_nobody(scene: Scene) -> None:
    scene.alarm(ActionsEnabled=False)
    assert [scene.minute(1), scene.minute(1)][-1] == "ALARM"
    assert scene.told == []


def test_values_are_not_kept_for_ever(scene: Scene) -> None:
    for _ in range(KEPT // MINUTE + 60):
        scene.now += MINUTE
        scene.samples = [Sample("AWS/EC2", "StatusCheckFailed_Instance", {"InstanceId": "i-1"}, 0)]
        scene.alarms.step()
    metrics = scene.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/EC2",
        MetricName="StatusCheckFailed_Instance",
        StartTime=datetime.fromtimestamp(BEGIN - MINUTE, UTC),
        EndTime=datetime.fromtimestamp(scene.now + MINUTE, UTC),
        Period=MINUTE,
        Statistics=["Maximum"],
    )
    assert 0 < len(metrics["Datapoints"]) <= KEPT // MINUTE


def test_nothing_leaves_the_machine_when_something_is_published(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was posted")

    monkeypatch.setattr("moto.sns.models.requests.post", refuse)
    sns = scene.aws.client("sns")
    sns.subscribe(TopicArn=scene.topic, Protocol="https", Endpoint="https://alerts.example.org/")
    attributes = {"severity": {"DataType": "String", "StringValue": "critical"}}
    sns.publish(TopicArn=scene.topic, Subject="FIRING: HostDown", Message="server-3", MessageAttributes=attributes)
    (told,) = scene.told
    assert (told.subject, told.message, told.attributes) == ("FIRING: HostDown", "server-3", {"severity": "critical"})
    assert told.alarm is None


def test_status_checks_follow_the_power_of_the_host() -> None:
    def failed(state: str, power: Power) -> set[float]:
        one = dataclasses.replace(HOST, state=state)
        return {sample.value for sample in status_checks([(one, power)])}

    assert failed("running", Power.ON) == {0.0}
    assert failed("running", Power.OFF) == {1.0}
    # A stopped instance has no checks: it is their absence that alarms.
    assert failed("stopped", Power.OFF) == set()
    assert {s.dimensions["InstanceId"] for s in status_checks([(HOST, Power.ON)])} == {HOST.id}


def test_healthy_targets_are_counted_by_group() -> None:
    group = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/https/abc"
    balancer = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/edge/def"
    states = {
        (group, ("10.0.0.1", 443)): State.HEALTHY,
        (group, ("10.0.0.2", 443)): State.UNHEALTHY,
        (group, ("10.0.0.3", 443)): State.HEALTHY,
    }
    found = {one.metric: one for one in target_health(states, {group: [balancer]})}
    assert (found["HealthyHostCount"].value, found["UnHealthyHostCount"].value) == (2, 1)
    assert found["HealthyHostCount"].dimensions == {
        "LoadBalancer": "net/edge/def",
        "TargetGroup": "targetgroup/https/abc",
    }
    assert list(target_health(states, {group: []})) == []


def test_the_subscriber_reads_what_was_written_and_goes_on(tmp_path: Path) -> None:
    file = Notifications(tmp_path)
    assert file.read() == []
    file.add(Notification("t", "first", "one"))
    (first,) = file.read()
    assert (first.subject, first.message) == ("first", "one")
    assert file.path.stat().st_mode & 0o077 == 0
    # A line that is not whole is not read yet.
    with file.path.open("a") as half:
        half.write('{"topic": "t"')
    assert len(file.read()) == 1
    polls = iter((False, True))
    with file.path.open("a") as rest:
        rest.write(', "subject": "second", "message": "two"}\n')
    assert [one.subject for one in file.follow(lambda: next(polls))] == ["first", "second"]
