"""Status, readiness and boot of a server, on a fake machine and an emulated AWS."""

from __future__ import annotations

import json

import pytest
from moto import mock_aws

from tests.host.fakes import CFG, FakeUnit, Site, make, upload
from userdata.bundle import File
from userdata.host import boot as boot_module
from userdata.host import state
from userdata.host.boot import boot
from userdata.host.database_state import DatabaseState
from userdata.host.errors import StepError
from userdata.host.ready import await_ready
from userdata.host.status import status, text
from userdata.host.system import Result

FACTS = {
    "address": "10.20.0.10",
    "roles": ["load_balancer", "app", "database"],
    "application": {"port": 8080, "health": "/healthz"},
}
MEMBERS = {"server-1": "ONLINE", "server-2": "ONLINE", "server-3": "ONLINE"}
PRIMARY = DatabaseState("server-1", 1, "ONLINE", "server-1", MEMBERS, super_read_only=False)


class Web:
    """Answers for the local HTTP endpoints."""

    def __init__(self, **answers):
        self.answers = {"8404": (200, "ok"), "8080": (200, "ok"), "3380": (200, json.dumps(PRIMARY.to_json()))}
        self.answers |= answers

    def __call__(self, url):
        return self.answers[url.split(":")[2].split("/")[0]]


@pytest.fixture
def site(tmp_path):
    with mock_aws():
        site = Site.create(tmp_path)
        upload(site.s3, make(extra=[File("/etc/tripod/host.json", json.dumps(FACTS), owner=_owner())]))
        yield site


@pytest.fixture
def applied(site):
    outcome = site.apply()
    state.remember(site.machine.system, digest=outcome.digest, error=None)
    return site


def _owner():
    from tests.host.fakes import ME

    return ME


def ask(site, **answers):
    return status(site.machine.system, site.identity, Web(**answers))


def test_healthy(applied):
    value = ask(applied)
    assert value["healthy"]
    assert value["problems"] == []
    assert value["units"] == {"haproxy.service": "active", "mysql.service": "active"}
    assert value["database"] == {
        "role": "primary",
        "member_state": "ONLINE",
        "writable": True,
        "gtid_executed": "",
        "members": 3,
        "online": 3,
    }
    assert value["digest"].startswith("sha256:")
    assert value["error"] is None
    assert "server-1: healthy" in text(value)


@pytest.mark.parametrize(
    "answers,word",
    [
        ({"8080": (503, "no database")}, "application answers 503: no database"),
        ({"8080": (0, "refused")}, "application answers nothing"),
        ({"8404": (503, "")}, "HAProxy's health is 503"),
        ({"3380": (0, "refused")}, "role check does not answer"),
        ({"3380": (503, '{"reason": "mysqld does not answer"}')}, "mysqld does not answer"),
        ({"3380": (200, "<html>")}, "nonsense"),
        ({"3380": (200, json.dumps(DatabaseState("server-1", 1, "RECOVERING").to_json()))}, "RECOVERING"),
    ],
)
def test_each_fault_is_a_problem(applied, answers, word):
    value = ask(applied, **answers)
    assert not value["healthy"]
    assert word in " ".join(value["problems"])


def test_a_dead_unit_is_a_problem(applied):
    applied.machine.units["haproxy.service"] = FakeUnit("failed", "enabled")
    assert any("haproxy.service is failed" in problem for problem in ask(applied)["problems"])


def test_before_the_first_bundle(site):
    value = ask(site)
    assert value["problems"] == ["no bundle was applied yet"]
    assert value["digest"] is None


def test_a_failed_apply_is_remembered_beside_the_digest_that_runs(applied):
    before = ask(applied)
    state.remember(applied.machine.system, digest=None, error="server-1: check: no")
    value = ask(applied)
    assert value["digest"] == before["digest"]
    assert value["error"] == "server-1: check: no"
    assert not value["healthy"]


def test_ready_reports_each_new_reason(applied):
    reasons = iter([["a"], ["a"], ["b"], []])
    seen = []

    def judge(system, identity):
        if applied.identity.state_parameter in known():
            seen.append(applied.state()["error"])
        return {"problems": next(reasons), "digest": "sha256:1"}

    def known():
        return [parameter["Name"] for parameter in applied.ssm.describe_parameters()["Parameters"]]

    await_ready(applied.machine.system, applied.identity, applied.ssm, seconds=60, judge=judge)
    assert seen == ["a", "a", "b"]
    value = applied.state()
    assert (value["step"], value["ok"], value["digest"], value["error"]) == ("ready", True, "sha256:1", None)


def test_ready_has_a_deadline(applied):
    with pytest.raises(StepError, match="the database is asleep"):
        await_ready(
            applied.machine.system,
            applied.identity,
            applied.ssm,
            seconds=5,
            judge=lambda system, identity: {"problems": ["the database is asleep"], "digest": None},
        )
    assert applied.state()["error"] == "the database is asleep"
    assert not applied.state()["ok"]


@pytest.fixture
def no_volume(monkeypatch):
    monkeypatch.setattr(boot_module.volume, "mount", lambda system: "vol")
    monkeypatch.setattr(boot_module.volume, "own", lambda system: None)
    monkeypatch.setattr(boot_module, "await_ready", lambda *arguments, **named: None)


def test_first_boot_applies(site, no_volume):
    boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert CFG in site.tree()
    assert site.machine.units["haproxy.service"].enabled == "enabled"


def test_a_reboot_applies_nothing_and_needs_no_bucket(applied, no_volume):
    applied.machine.log.clear()
    upload(applied.s3, make(haproxy="newer\n"))
    boot(applied.machine.system, applied.identity, None, applied.ssm)
    assert applied.machine.log == []
    assert applied.tree()[CFG][0] == "global\n"


def test_a_first_boot_that_fails_says_at_which_step(site, no_volume):
    site.ssm.delete_parameter(Name="/tripod/dev/secret")
    with pytest.raises(StepError):
        boot(site.machine.system, site.identity, site.s3, site.ssm)
    value = site.state()
    assert value["step"] == "apply"
    assert not value["ok"]
    assert "/tripod/dev/secret" in value["error"]


def test_a_volume_that_does_not_come_says_so(site, monkeypatch):
    def never(system):
        raise StepError("volume", "no data volume", "attach it")

    monkeypatch.setattr(boot_module.volume, "mount", never)
    with pytest.raises(StepError):
        boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert site.state()["step"] == "volume"


AGENT = "snap.amazon-ssm-agent.amazon-ssm-agent.service"


def snaps(machine, *, refused="", seeds=False):
    """What snapd is asked. `refused`: why it does not install; `seeds`: the image brings the agent, unpacked late."""
    asked = []

    def snap(words):
        if words[0] != "snap":
            return None
        asked.append(words[1])
        if words[1] == "install" and refused:
            return Result(1, refused)
        if seeds or words[1] == "install":
            machine.units[AGENT] = FakeUnit(active="active", enabled="enabled")
        return Result(0)

    machine.faults.append(snap)
    return asked


@pytest.mark.parametrize("unit", [AGENT, "amazon-ssm-agent.service"])
def test_an_agent_that_is_there_is_left_alone(site, no_volume, unit):
    site.machine.units[unit] = FakeUnit()
    asked = snaps(site.machine)
    boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert asked == []


def test_an_agent_that_the_image_brings_is_awaited(site, no_volume):
    asked = snaps(site.machine, seeds=True)
    boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert asked == ["wait"]


def test_an_agent_that_is_missing_is_installed(site, no_volume):
    asked = snaps(site.machine)
    boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert asked == ["wait", "install"]


def test_a_server_without_an_agent_is_in_service_and_says_so_until_it_has_one(site, no_volume):
    snaps(site.machine, refused="error: cannot reach api.snapcraft.io")
    with pytest.raises(StepError, match="SSM agent"):
        boot(site.machine.system, site.identity, site.s3, site.ssm)
    value = site.state()
    assert (value["step"], value["ok"]) == ("agent", False)
    assert value["digest"] == state.recall(site.machine.system)["digest"] is not None
    assert "cannot reach api.snapcraft.io" in value["error"]
    assert site.machine.units["haproxy.service"].active == "active"
    site.machine.faults.clear()
    snaps(site.machine)
    boot(site.machine.system, site.identity, site.s3, site.ssm)


def test_an_earlier_step_s_failure_is_told_first(site, no_volume):
    snaps(site.machine, refused="error: cannot reach api.snapcraft.io")
    site.ssm.delete_parameter(Name="/tripod/dev/secret")
    with pytest.raises(StepError):
        boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert site.state()["step"] == "apply"


def test_a_host_without_snapd_goes_on(site, no_volume, capsys):
    site.machine.faults.append(lambda words: Result(127, "snap: command not found") if words[0] == "snap" else None)
    boot(site.machine.system, site.identity, site.s3, site.ssm)
    assert "must bring the agent" in capsys.readouterr().out
