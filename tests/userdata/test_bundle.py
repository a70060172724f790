"""The bundle as a whole: one digest for one content, no path twice, no secret in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.userdata.topologies import BUCKET, PRESET_SERVERS, build, preset, topologies
from topology import names, ports
from topology.flows import flows
from topology.names import Role
from userdata import paths
from userdata.app.files import files as app
from userdata.base.files import files as base
from userdata.bundle import Bundle, BundleError, File, Part, Secret, Unit
from userdata.haproxy.files import files as haproxy
from userdata.host.manifest import parse
from userdata.logs.files import files as logs
from userdata.prometheus.files import files as prometheus
from userdata.render import OWNED_UNITS, bundle, user_data

FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])

PICTURED = (base, haproxy, app, prometheus, logs)
PLAIN = Bundle.of("dev", "server-1", [Part(files=(File("/etc/a", "x"),), units=(Unit("a.service"),))])


def rendered(name, server):
    topology = preset(name)
    return bundle(topology, topology.server(server))


def pictured(name, server):
    """The parts whose text is kept as a snapshot; those of MySQL and keepalived have tests of their own."""
    topology = preset(name)
    return Bundle.of("dev", server, [part(topology, topology.server(server)) for part in PICTURED])


@pytest.mark.parametrize("name,server", PRESET_SERVERS)
def test_presets_render(name, server, snapshot):
    """What changes here is what changes on servers. Programs are left out: their tests are elsewhere."""
    found = pictured(name, server)
    code = (f"{paths.PROGRAMS}/", f"{paths.APPLICATION}/")
    for file in found.files:
        if not file.path.startswith(code):
            head = f"{file.path} {file.mode} {file.owner}"
            assert f"{head}\n{file.content}" == snapshot(name=file.path)
    assert {s.path: (s.parameter, s.mode, s.owner) for s in found.secrets} == snapshot(name="secrets")
    assert [(u.name, u.files, u.action) for u in found.units] == snapshot(name="units")


@pytest.mark.parametrize("name,server", PRESET_SERVERS)
def test_the_server_understands_the_manifest(name, server):
    found = rendered(name, server)
    manifest = parse(found.manifest, stack="dev", server=server)
    assert manifest.digest == found.digest
    assert manifest.paths == {f.path for f in found.files} | {s.path for s in found.secrets}
    assert json.loads(found.manifest)["format"] == 1


def test_rendering_is_deterministic():
    topology = build(preset="active-active")
    again = build(preset="active-active")
    for server in topology.servers:
        assert bundle(topology, server).manifest == bundle(again, again.server(server.name)).manifest


@given(st.sampled_from(["content", "mode", "owner", "path"]), st.text(min_size=1, max_size=5))
def test_the_digest_changes_exactly_when_something_does(attribute, text):
    file = PLAIN.files[0]
    value = {"content": text, "mode": "0600", "owner": "a:b", "path": "/etc/b"}[attribute]
    other = dataclasses.replace(PLAIN, files=(dataclasses.replace(file, **{attribute: value}),))
    same = getattr(file, attribute) == value
    assert (other.digest == PLAIN.digest) is same
    assert (other.manifest == PLAIN.manifest) is same


@pytest.mark.parametrize(
    "change",
    [
        {"stack": "prod"},
        {"server": "server-2"},
        {"secrets": (Secret("/etc/s", "/p"),)},
        {"units": (Unit("a.service", action="reload"),)},
        {"packages": ("haproxy",)},
        {"absent_units": ("ssh.service",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_in_the_manifest_counts(change):
    assert dataclasses.replace(PLAIN, **change).digest != PLAIN.digest


def test_two_parts_may_not_claim_one_path():
    part = Part(files=(File("/etc/a", "1"),))
    with pytest.raises(BundleError, match="/etc/a"):
        Bundle.of("dev", "server-1", [part, Part(secrets=(Secret("/etc/a", "/p"),))])
    with pytest.raises(BundleError, match=r"a\.service"):
        Bundle.of("dev", "server-1", [Part(units=(Unit("a.service"),)), Part(units=(Unit("a.service"),))])


@pytest.mark.parametrize("path", ["etc/a", "/etc/../a", "/etc/"])
def test_paths_are_absolute(path):
    with pytest.raises(BundleError):
        Bundle.of("dev", "server-1", [Part(files=(File(path, ""),))])


def test_shared_files_have_one_key_for_all_servers():
    file = File("/opt/x", "y", shared=True)
    assert file.key("server-1") == file.key("server-2")
    assert file.sha256[:16] in file.key("server-1")
    entry = json.loads(Bundle.of("dev", "s", [Part(files=(file,))]).manifest)["files"]["/opt/x"]
    assert entry["key"] == file.key("s")


@FEW
@given(topologies())
def test_any_topology(topology):
    for server in topology.servers:
        found = bundle(topology, server)
        content = {file.path: file.content for file in found.files}
        text = user_data(topology, server, names.bucket(topology.stack, "123456789012", topology.region))
        assert len(text.encode()) < 4096
        assert not [unit.name for unit in found.units if unit.name in found.absent_units]
        assert {unit.name for unit in found.units} | set(found.absent_units) >= set(OWNED_UNITS)
        facts = json.loads(content[paths.HOST_FACTS])
        assert facts["address"] == str(server.address)
        assert server.name not in [peer["name"] for peer in facts["peers"]]
        assert ("tripod-app.service" in {unit.name for unit in found.units}) is server.has(Role.APP)
        for unit in found.units:
            wanted = f"{paths.SYSTEMD}/{unit.name}"
            assert wanted in content or not unit.name.startswith("tripod-")
        for secret in found.secrets:
            assert secret.parameter.startswith(("/tripod/", "/x/", "/example/"))


@FEW
@given(topologies())
def test_whoever_listens_is_in_the_table_of_flows(topology):
    """A unit that listens for others runs exactly where a flow leads to it."""
    known = {(flow.destination, flow.port) for flow in flows(topology)}
    of_roles = {
        "prometheus.service": (Role.MONITORING, ports.PROMETHEUS),
        "prometheus-alertmanager.service": (Role.MONITORING, ports.ALERTMANAGER),
    }
    for server in topology.servers:
        units = {unit.name for unit in bundle(topology, server).units}
        for unit, flow in of_roles.items():
            assert (unit in units) is (server.has(Role.MONITORING) and flow in known)


@pytest.mark.parametrize("name,server", PRESET_SERVERS)
def test_user_data(name, server, snapshot):
    topology = preset(name)
    text = user_data(topology, topology.server(server), BUCKET)
    assert text.startswith("#cloud-config\n")
    value = yaml.safe_load(text)
    files = {file["path"]: file["content"] for file in value["write_files"]}
    assert json.loads(files[paths.IDENTITY]) == {
        "stack": "dev",
        "server": server,
        "bucket": BUCKET,
        "region": "eu-central-1",
    }
    compile(files[f"{paths.LIBRARY}/start.py"], "start.py", "exec")
    assert len(text.encode()) < 4096
    if server == "server-1" and name == "reference":
        assert text == snapshot


def test_user_data_does_not_know_the_configuration():
    small = preset("reference")
    large = build(
        preset="active-active",
        domain="www.example.org",
        instanceType="m7i.large",
        tls={"mode": "provided", "certificateParameter": "/x/c", "keyParameter": "/x/k"},
    )
    for server in ("server-1", "server-2", "server-3"):
        assert user_data(small, small.server(server), BUCKET) == user_data(large, large.server(server), BUCKET)


def test_every_host_program_travels():
    programs = {Path(f.path).name for f in rendered("reference", "server-1").files if f.path.startswith(paths.PROGRAMS)}
    assert {"__init__.py", "__main__.py", "apply.py", "boot.py"} <= programs


def test_the_application_travels_without_its_tests():
    code = [f.path for f in rendered("reference", "server-2").files if f.path.startswith(paths.APPLICATION)]
    assert f"{paths.APPLICATION}/gunicorn.conf.py" in code
    assert not [path for path in code if "tests" in path or "__pycache__" in path]
