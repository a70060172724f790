"""Base, application and monitoring files, read back."""

from __future__ import annotations

import configparser
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from tests.userdata.topologies import OWN_APPLICATION, PRESET_SERVERS, build, preset, topologies
from topology.flows import allowed
from topology.names import Role
from userdata import paths
from userdata.render import bundle


def content(topology, server):
    return {file.path: file.content for file in bundle(topology, topology.server(server)).files}


def unit_file(text):
    parser = configparser.RawConfigParser(strict=False, delimiters=["="], comment_prefixes=["#"])
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_application_service():
    found = content(preset("reference"), "server-2")
    unit = unit_file(found[f"{paths.SYSTEMD}/tripod-app.service"])
    assert unit["Service"]["User"] == "tripod-app"
    assert unit["Service"]["ExecStart"].endswith("/opt/tripod/app/gunicorn.conf.py")
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    environment = dict(line.split("=", 1) for line in found["/etc/tripod/app.env"].splitlines())
    assert environment["TRIPOD_LISTEN"] == "10.20.16.11:8080"
    assert environment["TRIPOD_DB_WRITER"] == "127.0.0.1:3306"
    assert environment["TRIPOD_DB_READER"] == "127.0.0.1:3307"


def test_the_application_accepts_its_environment():
    from app.settings import Settings

    for name, server in PRESET_SERVERS:
        topology = preset(name)
        if topology.server(server).has(Role.APP):
            lines = content(topology, server)["/etc/tripod/app.env"].splitlines()
            value = Settings.from_environment(dict(line.split("=", 1) for line in lines))
            assert str(value.listen) == f"{topology.server(server).address}:8080"


def test_own_application():
    topology = build(application=OWN_APPLICATION)
    found = content(topology, "server-2")
    assert not [path for path in found if path.startswith(paths.APPLICATION)]
    assert found["/usr/local/lib/tripod/start-application"].splitlines()[-1] == "exec ./serve --workers 4"
    assert json.loads(found["/etc/tripod/application.json"])["sha256"] == "ab" * 32
    unit = unit_file(found[f"{paths.SYSTEMD}/tripod-app.service"])
    assert "host.application" in unit["Service"]["ExecStartPre"]
    assert "gunicorn" not in bundle(topology, topology.server("server-2")).packages


def test_app_secrets_are_for_the_application_only():
    secrets = {s.path: s for s in bundle(preset("reference"), preset("reference").server("server-2")).secrets}
    for account in ("app_writer", "app_reader"):
        secret = secrets[f"{paths.SECRETS}/{account}"]
        assert (secret.mode, secret.owner) == ("0440", "root:tripod-app")


def test_secrets_of_an_own_application_are_files_that_its_environment_names():
    topology = build(application=OWN_APPLICATION)
    made = bundle(topology, topology.server("server-2"))
    (secret,) = [one for one in made.secrets if one.parameter == "/example/api-key"]
    assert (secret.mode, secret.owner) == ("0440", "root:tripod-app")
    lines = content(topology, "server-2")["/etc/tripod/app.env"].splitlines()
    assert f"API_KEY_FILE={secret.path}" in lines
    assert "/example/api-key" not in "".join(lines)
    (unit,) = [one for one in made.units if one.name == "tripod-app.service"]
    assert any(secret.path.startswith(path) for path in unit.files), "another value restarts the application"
    assert not [one for one in bundle(topology, topology.server("server-3")).secrets if "example" in one.parameter]


@pytest.mark.parametrize("name,server", PRESET_SERVERS)
def test_unit_files_parse(name, server):
    for path, text in content(preset(name), server).items():
        if path.startswith(paths.SYSTEMD):
            assert unit_file(text).sections(), path


def test_neighbours_never_upgrade_in_the_same_hour():
    topology = preset("active-active")
    timers = [
        content(topology, s.name)[f"{paths.SYSTEMD}/apt-daily-upgrade.timer.d/tripod.conf"] for s in topology.servers
    ]
    assert len(set(timers)) == 3


def test_mysql_needs_its_volume():
    unit = unit_file(content(preset("reference"), "server-3")[f"{paths.SYSTEMD}/mysql.service.d/volume.conf"])
    assert unit["Unit"]["Requires"] == "tripod-volume.service"


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(topologies())
def test_prometheus_scrapes_only_where_it_may(topology):
    for monitor in topology.monitors:
        value = yaml.safe_load(content(topology, monitor.name)["/etc/prometheus/prometheus.yml"])
        seen = {}
        for job in value["scrape_configs"]:
            for group in job["static_configs"]:
                (target,) = group["targets"]
                address, port = target.split(":")
                server = topology.server(group["labels"]["server"])
                assert str(server.address) == address
                assert server.name == monitor.name or allowed(topology, monitor, server, "tcp", int(port)), target
                seen.setdefault(job["job_name"], set()).add(server.name)
        assert seen["node"] == {server.name for server in topology.servers}
        assert seen.get("mysql", set()) == {server.name for server in topology.servers if server.holds_data}


def test_exporters_listen_on_the_private_address():
    found = content(preset("reference"), "server-1")
    for name, port in (("node", 9100), ("mysqld", 9104)):
        assert f"--web.listen-address=10.20.0.10:{port}" in found[f"/etc/default/prometheus-{name}-exporter"]


@pytest.mark.parametrize("name,server", PRESET_SERVERS)
def test_the_console_is_where_prometheus_looks(name, server):
    topology = preset(name)
    found = content(topology, server)
    if not topology.server(server).has(Role.MONITORING):
        assert "/etc/prometheus/consoles/tripod.html" not in found
        return
    page = found["/etc/prometheus/consoles/tripod.html"]
    assert "--web.console.templates=/etc/prometheus/consoles" in found["/etc/default/prometheus"]
    assert f"Stack {topology.stack}, as {server} sees it" in page
    assert page.count("{{") == page.count("}}") > 20, "Prometheus's own templates are left to it"


def test_the_drill_waits_for_a_backup_that_runs():
    """Its timer knows the hour only; a large backup takes longer."""
    found = content(preset("reference"), "server-3")
    unit = unit_file(found[f"{paths.SYSTEMD}/tripod-drill.service"])
    assert "tripod-backup.service" in unit["Unit"]["After"].split()
    assert "Requires" not in unit["Unit"], "a backup that failed is no reason for no drill"
    assert unit_file(found[f"{paths.SYSTEMD}/tripod-backup.service"])["Service"]["Type"] == "oneshot"
