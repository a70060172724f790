"""CloudWatch watches every server and the whole edge, and tells the topic, which nobody else may use."""

from __future__ import annotations

import json
import re

from tests.program.evaluation import Evaluation, evaluate
from tests.program.plain_mocks import ACCOUNT
from topology import names
from topology.model import Topology


def test_every_alarm_tells_the_topic_when_it_fires_and_when_it_is_over(program: Evaluation, stack: str) -> None:
    alarms = program.of("MetricAlarm")
    (policy,) = program.of("TopicPolicy")
    region = json.loads(policy.inputs["policy"])["Statement"][0]["Resource"].split(":")[3]
    topic = f"arn:aws:sns:{region}:{ACCOUNT}:{names.alerts_topic(stack)}"
    assert alarms
    assert len({alarm.inputs["name"] for alarm in alarms}) == len(alarms)
    for alarm in alarms:
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [topic]
        assert policy.urn in program.needs(alarm)
        assert alarm.inputs["name"].startswith(f"tripod-{stack}-")
        assert re.search(r"\w\. What to do: docs/runbook\.md#[a-z-]+$", alarm.inputs["alarmDescription"])


def test_every_server_has_its_alarms(program: Evaluation, topology: Topology) -> None:
    found = {
        (alarm.inputs["dimensions"]["InstanceId"], alarm.inputs["metricName"]): alarm.inputs
        for alarm in program.of("MetricAlarm")
        if alarm.inputs["namespace"] == "AWS/EC2"
    }
    for server in topology.servers:
        instance = f"{server.name}-instance-id"
        assert (instance, "StatusCheckFailed_System") in found
        # A server that is off has no status checks: only a missing value tells of it.
        assert found[instance, "StatusCheckFailed_Instance"]["treatMissingData"] == "breaching"
        assert (instance, "CPUSurplusCreditsCharged") in found


def test_silence_of_monitoring_is_an_alarm(program: Evaluation, topology: Topology) -> None:
    (heartbeat,) = [a.inputs for a in program.of("MetricAlarm") if a.inputs["metricName"] == names.HEARTBEAT_METRIC]
    assert heartbeat["namespace"] == names.metrics_namespace(topology.stack)
    assert heartbeat["treatMissingData"] == "breaching"
    assert heartbeat["period"] * heartbeat["evaluationPeriods"] <= 180


def test_a_network_load_balancer_is_watched(program: Evaluation, topology: Topology) -> None:
    watched = [a.inputs for a in program.of("MetricAlarm") if a.inputs["namespace"] == "AWS/NetworkELB"]
    assert len(watched) == (4 if topology.edge == "nlb" else 0)
    for alarm in watched:
        assert alarm["dimensions"]["LoadBalancer"].startswith("net/")
        assert alarm["dimensions"]["TargetGroup"].startswith("targetgroup/")


def test_the_topic_is_encrypted_and_only_the_stacks_alarms_may_publish(program: Evaluation, stack: str) -> None:
    (topic,) = program.of("Topic")
    (key,) = program.of("Key")
    assert topic.inputs["name"] == names.alerts_topic(stack)
    assert topic.inputs["kmsMasterKeyId"] == "arn:aws:mock:::alerts-key"
    (policy,) = program.of("TopicPolicy")
    allowed, denied = json.loads(policy.inputs["policy"])["Statement"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"]["ArnLike"]["aws:SourceArn"].endswith(f":alarm:tripod-{stack}-*-*")
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for statement in json.loads(key.inputs["policy"])["Statement"]:
        if statement["Principal"] == {"AWS": "*"}:
            assert statement["Condition"]["StringEquals"]["kms:CallerAccount"] == ACCOUNT
    assert key.inputs["enableKeyRotation"] is True


def test_the_topics_and_keys_policies_are_known_at_a_preview(preview: Evaluation, program: Evaluation) -> None:
    for resource in ("alerts-policy", "alerts-key"):
        assert preview.named(resource).inputs["policy"] == program.named(resource).inputs["policy"]


def test_the_dashboard_shows_every_alarm_and_is_known_at_a_preview(
    program: Evaluation, preview: Evaluation, topology: Topology, stack: str
) -> None:
    (dashboard,) = program.of("Dashboard")
    (planned,) = preview.of("Dashboard")
    assert planned.inputs == dashboard.inputs
    assert dashboard.inputs["dashboardName"] == f"tripod-{stack}"
    widgets = json.loads(dashboard.inputs["dashboardBody"])["widgets"]
    alarms = {f"alarm:{alarm.inputs['name']}" for alarm in program.of("MetricAlarm")}

    def shown(arns: list[str]) -> set[str]:
        return {arn.split(":", 5)[5] for arn in arns}

    states = [widget for widget in widgets if widget["type"] == "alarm"]
    assert shown([arn for widget in states for arn in widget["properties"]["alarms"]]) == alarms
    graphs = [widget for widget in widgets if widget["type"] == "metric"]
    assert shown([arn for widget in graphs for arn in widget["properties"]["annotations"]["alarms"]]) == alarms
    (text,) = (widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text")
    for server in topology.servers:
        assert f"| {server.name} | " in text
        assert str(server.address) in text


def test_no_widget_of_the_dashboard_covers_another(program: Evaluation) -> None:
    widgets = json.loads(program.of("Dashboard")[0].inputs["dashboardBody"])["widgets"]
    cells = [
        (x, y)
        for one in widgets
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_subscribers() -> None:
    wanted = [
        {"protocol": "email", "endpoint": "oncall@example.org"},
        {"protocol": "sms", "endpoint": "+14155550100"},
    ]
    found = evaluate(configured={"alerts": {"subscriptions": wanted}}).of("TopicSubscription")
    assert [{key: s.inputs[key] for key in ("protocol", "endpoint")} for s in found] == wanted
    assert {s.inputs["topic"] for s in found} == {"arn:aws:mock:::alerts-topic"}


def test_protection_against_deletion_can_be_taken_off() -> None:
    program, open_ = evaluate("prod"), evaluate("prod", configured={"deletionProtection": False})
    assert {i.inputs["disableApiTermination"] for i in program.of("Instance")} == {True}
    assert {i.inputs["disableApiTermination"] for i in open_.of("Instance")} == {False}
    assert [b.inputs["enableDeletionProtection"] for b in (*program.of("LoadBalancer"), *open_.of("LoadBalancer"))] == [
        True,
        False,
    ]
    # The data stay whatever it says, and nothing else changes.
    assert all(volume.protect and volume.retain_on_delete for volume in open_.of("Volume"))
    before = {r.urn: r.inputs for r in program.resources}
    changed = {r.short_type for r in open_.resources if r.inputs != before[r.urn]}
    assert {one for one in changed if one not in ("Command", "Verification")} == {"Instance", "LoadBalancer"}
