"""Rendered files, judged by the programs that will read them: the commands are the bundle's own checks."""

from __future__ import annotations

import pytest

from tests.userdata.certificate import self_signed
from tests.userdata.image import Image, find
from tests.userdata.topologies import OWN_APPLICATION, PRESET_SERVERS, build, preset
from userdata import paths
from userdata.haproxy.files import CERTIFICATE, CONFIGURATION, KEY
from userdata.logs import files as logs
from userdata.prometheus.files import ALERTMANAGER
from userdata.render import bundle

pytestmark = pytest.mark.native

OTHERS = {
    "one server of each role": build(
        servers=[
            {"name": "lb-1", "roles": ["load_balancer"]},
            {"name": "app-2", "roles": ["app"]},
            {"name": "db-3", "roles": ["database"]},
            {"name": "db-4", "roles": ["database"]},
            {"name": "db-5", "roles": ["database"]},
            {"name": "replica-6", "roles": ["read_replica"]},
            {"name": "monitor-7", "roles": ["monitoring"]},
        ]
    ),
    "own application and domain": build(
        application=OWN_APPLICATION, domain="www.example.org", hostedZoneId="Z0123456789ABC"
    ),
}
CASES = [(preset(name), server) for name, server in PRESET_SERVERS]
CASES += [(topology, server.name) for topology in OTHERS.values() for server in topology.servers]


@pytest.fixture(scope="session")
def root():
    return find()


@pytest.fixture
def image(root, tmp_path):
    return Image(root, tmp_path)


def stage(image, topology, server):
    found = bundle(topology, topology.server(server))
    image.stage({file.path: file.content for file in found.files})
    certificate, key = self_signed()
    image.stage({secret.path: "secret" for secret in found.secrets} | {CERTIFICATE: certificate, KEY: key})
    return found


@pytest.mark.parametrize("topology,server", CASES, ids=[f"{i}-{case[1]}" for i, case in enumerate(CASES)])
def test_every_check_of_the_bundle_passes(image, topology, server):
    for unit in stage(image, topology, server).units:
        # The stack's own application is fetched from a bucket: the rehearsal tries that.
        if unit.check and "host.application" not in unit.check:
            result = image.run(*(word.replace("{root}", "/staged") for word in unit.check))
            assert result.returncode == 0, f"{unit.name}: {result.stdout}"
            assert "WARNING" not in result.stdout, result.stdout


def test_alertmanager(image):
    found = stage(image, preset("reference"), "server-3")
    assert any(file.path == ALERTMANAGER for file in found.files)
    program = image.run("prometheus-alertmanager", "--version")
    assert program.returncode == 0
    result = image.run("sh", "-c", f"command -v amtool >/dev/null || exit 0; amtool check-config /staged{ALERTMANAGER}")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("server", ["server-1", "server-3"])
def test_systemd_understands_every_unit(image, server):
    stage(image, preset("reference"), server)
    script = (
        f"cp -r /staged{paths.SYSTEMD}/. {paths.SYSTEMD}/; cp -r /staged/etc/tripod /etc/; "
        "mkdir -p /usr/local/lib; cp -r /staged/usr/local/lib/tripod /usr/local/lib/; "
        "systemd-sysusers /staged/etc/sysusers.d/*.conf; "
        f"cd {paths.SYSTEMD} && systemd-analyze verify --man=no $(ls tripod-*.service) haproxy.service mysql.service"
    )
    result = image.run("sh", "-c", script)
    assert result.returncode == 0, result.stdout
    complaints = [line for line in result.stdout.splitlines() if "tripod" in line and "Creating" not in line]
    assert not complaints, result.stdout


def test_a_broken_haproxy_configuration_is_refused(image):
    stage(image, preset("reference"), "server-1")
    cfg = image.scratch / "staged" / CONFIGURATION.lstrip("/")
    cfg.write_text(cfg.read_text().replace("balance roundrobin", "balance rubbish", 1))
    result = image.run("env", "TRIPOD_ROOT=/staged", "haproxy", "-c", "-f", f"/staged{CONFIGURATION}")
    assert result.returncode != 0
    assert "balance" in result.stdout


def test_a_key_that_does_not_fit_its_certificate_is_refused(image):
    stage(image, preset("reference"), "server-1")
    self_signed.cache_clear()
    image.stage({KEY: self_signed()[1]})
    result = image.run("env", "TRIPOD_ROOT=/staged", "haproxy", "-c", "-f", f"/staged{CONFIGURATION}")
    assert result.returncode != 0
    assert "site.pem" in result.stdout


@pytest.mark.parametrize(
    "right, wrong, told",
    [
        ('template="event"', 'template="evnt"', "evnt"),
        ("confirmMessages", "confirmMessage", "confirmmessage"),
        ("call ship", "call shop", "shop"),
    ],
)
def test_a_broken_rsyslog_configuration_is_refused(image, right, wrong, told):
    found = stage(image, preset("reference"), "server-1")
    conf = image.scratch / "staged" / logs.CONFIGURATION.lstrip("/")
    assert right in conf.read_text()
    conf.write_text(conf.read_text().replace(right, wrong))
    (check,) = [unit.check for unit in found.units if unit.name == logs.SERVICE]
    result = image.run(*(word.replace("{root}", "/staged") for word in check))
    assert result.returncode != 0, result.stdout
    assert told in result.stdout.lower()


def test_the_host_programs_start_with_the_image_s_python(image):
    stage(image, preset("reference"), "server-1")
    result = image.run("env", f"PYTHONPATH=/staged{paths.LIBRARY}", "python3", "-P", "-m", "host", "status", "--json")
    assert result.returncode == 2, result.stdout
    assert "/etc/tripod/server.json cannot be read" in result.stdout
