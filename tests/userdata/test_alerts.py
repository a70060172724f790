"""Alerts: data that says enough, and rules that Prometheus itself finds firing and silent when they should be."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml

from tests.userdata.alert_cases import CASES, MORE
from tests.userdata.image import Image, find
from tests.userdata.topologies import build, preset
from userdata.prometheus.alerts import ALERTS, WATCHDOG, alerts
from userdata.prometheus.files import ALERTMANAGER, CONFIGURATION, RULES
from userdata.render import bundle

TOPIC = "arn:aws:sns:eu-central-1:123456789012:tripod-dev-alerts"
# Has every alert: a floating address, read replicas and two servers that monitor.
EVERYTHING = build(
    servers=[
        {"name": "lb-1", "roles": ["load_balancer", "database", "monitoring"]},
        {"name": "lb-2", "roles": ["load_balancer", "app", "monitoring"]},
        {"name": "replica-3", "roles": ["read_replica"]},
    ],
    edge="floating-eip",
)


def content(topology, server):
    return {file.path: file.content for file in bundle(topology, topology.server(server)).files}


def test_every_alert_says_what_broke_and_what_users_feel():
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", alert.name)
        assert alert.broke.endswith(".")
        assert alert.users.endswith(".")
        assert alert.runbook.startswith("docs/runbook.md#")


def test_a_critical_alert_leaves_within_two_minutes():
    assert max(alert.delay_seconds for alert in ALERTS if alert.severity == "critical") <= 120


def test_a_stack_has_the_alerts_of_its_parts_only():
    assert set(alerts(EVERYTHING)) == set(ALERTS)
    names = {alert.name for alert in alerts(preset("reference"))}
    assert not names & {"NoVrrpMaster", "FloatingAddressNowhere", "ReadReplicaBroken", "MonitoringPairBroken"}
    assert {"NoVrrpMaster", "MonitoringPairBroken"} <= {alert.name for alert in alerts(preset("active-passive"))}


def test_every_alert_is_tried_both_ways():
    assert set(CASES) == {alert.name for alert in ALERTS}
    assert {name for name, *_ in MORE} <= set(CASES)


@pytest.mark.parametrize("least, sent", [("warning", {"critical", "warning"}), ("critical", {"critical"})])
def test_alertmanager_sends_what_the_settings_ask_for(least, sent):
    topology = replace(build(alerts={"minimumSeverity": least, "repeatHours": 12}), alerts_topic_arn=TOPIC)
    value = yaml.safe_load(content(topology, "server-3")[ALERTMANAGER])
    (route,) = value["route"]["routes"]
    severities = re.fullmatch(r'severity=~"(.*)"', route["matchers"][0]).group(1)
    assert set(severities.split("|")) == sent
    assert value["route"]["repeat_interval"] == "12h"
    (receiver,) = (r for r in value["receivers"] if r["name"] == route["receiver"])
    assert receiver["sns_configs"][0]["topic_arn"] == TOPIC
    assert "api_url" not in receiver["sns_configs"][0]


def test_nobody_is_told_where_no_topic_is_known():
    value = yaml.safe_load(content(preset("reference"), "server-3")[ALERTMANAGER])
    assert [receiver["name"] for receiver in value["receivers"]] == ["nobody"]


def step(alert):
    """How far apart samples and evaluations are: as in a stack, or further for what must hold for very long.

    Never five minutes: so old a sample counts no more (Prometheus, "Staleness").
    """
    return "10s" if alert.hold_seconds < 1800 else "1m" if alert.hold_seconds < 2 * 86400 else "4m"


def case(alert, series, firing, *, what="", ever=0):
    """One test of promtool: after long enough, `alert` fires with these series, or it does not.

    `ever`: instead, whether it did so at any moment of so many seconds.
    """
    seconds, state = ever or alert.hold_seconds + 300, f'ALERTS{{alertname="{alert.name}", alertstate="firing"}}'
    return {
        "name": f"{alert.name} {'fires' if firing else 'is silent'}{what and f': {what}'}",
        "interval": step(alert),
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count({f'max_over_time({state}[{ever}s])' if ever else state}) > bool 0 or vector(0)",
                "eval_time": f"{seconds}s",
                "exp_samples": [{"labels": "{}", "value": int(firing)}],
            }
        ],
    }


def cases(alert):
    """Every test of promtool for one alert."""
    fires, silent = CASES[alert.name]
    yield case(alert, fires, firing=True)
    yield case(alert, silent, firing=False)
    for name, what, series, firing in MORE:
        if name == alert.name:
            yield case(alert, series, firing, what=what, ever=alert.hold_seconds + 900)


@pytest.fixture(scope="module")
def root():
    return find()


def stage(image, alert, *cases):
    """Test one rule of the rendered file: with all of them in each case it takes minutes."""
    (group,) = yaml.safe_load(content(EVERYTHING, "lb-1")[RULES])["groups"]
    rules = {"groups": [{**group, "rules": [rule for rule in group["rules"] if rule["alert"] == alert.name]}]}
    tests = {"rule_files": [f"{alert.name}.rules.yml"], "evaluation_interval": step(alert), "tests": list(cases)}
    image.stage({f"/{alert.name}.rules.yml": json.dumps(rules), f"/{alert.name}.test.yml": json.dumps(tests)})
    return f"/staged/{alert.name}.test.yml"


@pytest.mark.native
def test_each_alert_fires_and_is_silent(root, tmp_path):
    image = Image(root, tmp_path)
    files = [stage(image, alert, *cases(alert)) for alert in ALERTS]
    result = image.run("promtool", "test", "rules", *files, timeout=400)
    assert result.returncode == 0, result.stdout


@pytest.mark.native
def test_the_test_of_the_rules_can_fail(root, tmp_path):
    alert = next(alert for alert in ALERTS if alert.name == "HostDown")
    image = Image(root, tmp_path)
    result = image.run("promtool", "test", "rules", stage(image, alert, case(alert, CASES[alert.name][1], firing=True)))
    assert result.returncode != 0
    assert "FAILED" in result.stdout


@pytest.mark.native
def test_prometheus_and_alertmanager_accept_their_files(root, tmp_path):
    image = Image(root, tmp_path)
    topology = replace(EVERYTHING, alerts_topic_arn=TOPIC)
    image.stage(content(topology, "lb-2"))
    for command in (("promtool", "check", "config", f"/staged{CONFIGURATION}"),
                    ("amtool", "check-config", f"/staged{ALERTMANAGER}")):  # fmt: skip
        result = image.run(*command)
        assert result.returncode == 0, result.stdout
    assert WATCHDOG in content(topology, "lb-2")[RULES]
