"""Metrics of the host, and the heartbeat that rests on Prometheus and Alertmanager."""

from __future__ import annotations

import json
import os

import boto3
import pytest
from moto import mock_aws

from userdata.host import state
from userdata.host.database_state import DatabaseState
from userdata.host.heartbeat import beat, ill
from userdata.host.metrics import Metrics, Sample, exposition, logs_samples
from userdata.host.system import Result, System

HOST = {"server": "server-1", "address": "10.20.0.10", "roles": ["database"], "majority": 2}
FACTS = {
    "textfiles": "/textfiles",
    "certificates": {"ca": "/etc/tripod/tls/ca.pem"},
    "configured_members": 3,
    "alertmanager": "http://10.20.0.10:9093",
    "prometheus": "http://10.20.0.10:9090",
    "watchdog": "Watchdog",
    "namespace": "Tripod/dev",
    "heartbeat": "MonitoringHeartbeat",
}
MEMBERS = {"server-1": "ONLINE", "server-2": "ONLINE", "server-3": "UNREACHABLE"}
PRIMARY = DatabaseState("server-1", 1, "ONLINE", "server-1", MEMBERS, super_read_only=False)


def openssl(command, *, timeout=0, env=None):
    return Result(0, "notAfter=Jan  2 00:00:00 2030 GMT\n")


@pytest.fixture
def system(tmp_path):
    (tmp_path / "etc/tripod").mkdir(parents=True)
    (tmp_path / "textfiles").mkdir()
    (tmp_path / "etc/tripod/monitoring.json").write_text(json.dumps(FACTS))
    (tmp_path / "etc/tripod/host.json").write_text(json.dumps(HOST))
    return System(root=tmp_path, run=openssl)


def role_check(url):
    return (200, json.dumps(PRIMARY.to_json())) if url.endswith("/state") else (200 if "writer" in url else 503, "{}")


def written(system):
    text = (system.root / "textfiles/tripod.prom").read_text()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_a_reboot_that_an_update_waits_for_is_told_with_its_time(system):
    Metrics(system, lambda: None, role_check).write()
    assert "tripod_reboot_required_timestamp_seconds" not in written(system)
    (system.root / "run").mkdir(exist_ok=True)
    flag = system.root / "run/reboot-required"
    flag.write_text("*** System restart required ***\n")
    os.utime(flag, (1000, 1000))
    Metrics(system, lambda: None, role_check).write()
    assert written(system)["tripod_reboot_required_timestamp_seconds"] == "1000.0"


def test_what_a_primary_says(system):
    state.remember(system, digest="sha256:aa", error=None)
    Metrics(system, lambda: "sha256:bb", role_check).write()
    found = written(system)
    assert found['tripod_bundle_info{digest="sha256:aa"}'] == "1.0"
    assert (found["tripod_last_apply_success"], found["tripod_bundle_current"]) == ("1.0", "0.0")
    assert found['tripod_database_writer{role="database"}'] == "1.0"
    assert found['tripod_database_reader{role="database"}'] == "0.0"
    assert found["tripod_group_online_members"] == "2.0"
    assert found["tripod_group_configured_members"] == "3.0"
    assert found['tripod_certificate_not_after_timestamp_seconds{certificate="ca"}'] == "1893542400.0"
    assert not list((system.root / "textfiles").glob("*.new"))


def test_a_source_that_fails_takes_only_its_own_metrics_along(system, capsys):
    def no_bucket():
        raise OSError("no route")

    metrics = Metrics(system, no_bucket, lambda url: (0, "refused"))
    metrics.write()
    metrics.write()
    found = written(system)
    assert found['tripod_database_answers{role="database"}'] == "0.0"
    assert 'tripod_database_online{role="database"}' not in found
    assert 'tripod_certificate_not_after_timestamp_seconds{certificate="ca"}' in found
    assert capsys.readouterr().err.count("bucket: no route") == 1


def test_a_failed_apply_is_told(system):
    state.remember(system, digest=None, error="server-1: haproxy -c says no")
    Metrics(system, lambda: None, role_check).write()
    assert written(system)["tripod_last_apply_success"] == "0.0"


@pytest.mark.parametrize(
    "code, files, shipped",
    [
        (0, ["in-hand"], 1.0),
        (0, ["in-hand", "stalled"], 0.0),
        # rsyslogd runs and could not start the shipper.
        (0, [], 0.0),
        (3, ["in-hand"], 0.0),
    ],
)
def test_whether_logs_are_shipped(tmp_path, code, files, shipped):
    runtime = tmp_path / "run/tripod-logs"
    runtime.mkdir(parents=True)
    for name in files:
        (runtime / name).touch()
    system = System(root=tmp_path, run=lambda command, *, timeout=0, env=None: Result(code))
    assert [str(sample) for sample in logs_samples(system)] == [f"tripod_logs_shipped {shipped}"]


def test_labels_are_escaped():
    assert exposition([Sample("a", 1.0, {"b": 'c"\\\n'})]) == '# TYPE a gauge\na{b="c\\"\\\\\\n"} 1.0\n'


def answers(alertmanager, prometheus):
    return lambda url: alertmanager if ":9093" in url else prometheus


FIRING = {"data": {"alerts": [{"labels": {"alertname": "Watchdog"}, "state": "firing"}]}}


def test_the_heart_beats_only_while_both_work():
    both = answers((200, '[{"labels": {}}]'), (200, json.dumps(FIRING)))
    assert ill(FACTS, both) is None
    assert "Alertmanager does not answer" in ill(FACTS, answers((0, "refused"), (200, json.dumps(FIRING))))
    assert "does not have" in ill(FACTS, answers((200, "[]"), (200, json.dumps(FIRING))))
    assert "Prometheus does not answer" in ill(FACTS, answers((200, "[1]"), (0, "refused")))
    assert "does not fire" in ill(FACTS, answers((200, "[1]"), (200, '{"data": {"alerts": []}}')))


def test_a_heartbeat_reaches_cloudwatch():
    with mock_aws():
        cloudwatch = boto3.client("cloudwatch", region_name="eu-central-1")
        beat(cloudwatch, FACTS)
        (metric,) = cloudwatch.list_metrics(Namespace="Tripod/dev")["Metrics"]
        assert metric["MetricName"] == "MonitoringHeartbeat"
