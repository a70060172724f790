"""Restores as an operator starts them: what every server ships first, and when nothing may be touched."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest

from operations.backups import flush, renew_read_replicas, restore_copy, restore_stack
from operations.command import CommandResult
from operations.deadline import Deadline
from operations.errors import EndpointError, OperationError
from operations.fleet import Fleet, FleetServer
from operations.progress import Progress
from tests.operations.conftest import Clock
from topology.names import Role


def server(name: str, role: Role = Role.DATABASE) -> FleetServer:
    return FleetServer(name, f"i-{name}", (role,), "a", "10.0.0.1", None, "running")


FLEET = Fleet("dev", (server("db-1"), server("db-2"), server("db-3"), server("copy-1", Role.READ_REPLICA)))


class Servers:
    """Jobs end at once: with `results` by (server, command), or as an error when the result is text."""

    def __init__(self, results: dict[tuple[str, str], object]) -> None:
        self._results = results
        self._jobs: dict[str, str] = {}
        self.commands: list[tuple[str, list[str]]] = []

    def run(self, server: FleetServer, command: str, seconds: float) -> CommandResult:
        assert seconds > 0
        words = shlex.split(command)
        if words[0] == "systemd-run":
            arguments = words[words.index("host.backup_command") + 1 : words.index("--job")]
            self.commands.append((server.name, arguments))
            self._jobs[server.name] = arguments[0]
            return CommandResult(server.name, 0, "", "")
        result = self._results[server.name, self._jobs[server.name]]
        wrong = result if isinstance(result, str) else None
        state = {"step": "x", "done": True, "error": wrong, "result": None if wrong else result}
        return CommandResult(server.name, 0, "ActiveState=inactive\n" + json.dumps(state), "")


class Slow(Servers):
    """Jobs of these commands, or of these commands on one server, take so many seconds of the clock."""

    def __init__(
        self, results: dict[tuple[str, str], object], clock: Clock, seconds: dict[str | tuple[str, str], float]
    ) -> None:
        super().__init__(results)
        self._clock, self._seconds = clock, seconds
        self._began: dict[str, float] = {}

    def run(self, server: FleetServer, command: str, seconds: float) -> CommandResult:
        if command.startswith("systemd-run"):
            self._began[server.name] = self._clock()
            return super().run(server, command, seconds)
        job = self._jobs[server.name]
        takes = self._seconds.get((job, server.name), self._seconds.get(job, 0))
        if self._clock() < self._began[server.name] + takes:
            return CommandResult(server.name, 0, "ActiveState=active\n", "")
        return super().run(server, command, seconds)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def progress(said: list[str]) -> Progress:
    return Progress(said.append)


def shipped(until: int) -> dict[str, int]:
    return {"sent": 1, "complete_until": until}


def test_every_member_ships_and_the_primary_says_until_when(progress: Progress):
    servers = Servers({(f"db-{n}", "flush"): shipped(77 if n == 2 else 0) for n in (1, 2, 3)})
    assert flush(servers, FLEET, progress, Deadline(60)) == 77
    assert sorted(name for name, _ in servers.commands) == ["db-1", "db-2", "db-3"]


def test_a_member_that_cannot_ship_is_named_and_stops_nothing(progress: Progress, said: list[str]):
    results: dict[tuple[str, str], object] = {("db-1", "flush"): "No such file: binlog.index"}
    results |= {("db-2", "flush"): shipped(0), ("db-3", "flush"): shipped(0)}
    servers = Servers({**results, ("db-2", "restore"): {"directory": "/x"}})
    chosen = FLEET.server("db-2")
    restore_copy(servers, FLEET, progress, Deadline(60), chosen, "look", ("--to", "T"), gentle=True)
    assert any("db-1" in line and "binlog.index" in line for line in said)
    expected = ["restore", "--name", "look", "--complete-until", "0", "--to", "T"]
    assert servers.commands[-1] == ("db-2", expected)


def test_a_member_that_is_away_stops_a_restore_of_the_stack_before_anything(progress: Progress):
    fleet = Fleet("dev", (server("db-1"), server("db-2"), replace(server("db-3"), state="stopped")))
    servers = Servers({})
    with pytest.raises(OperationError, match=r"db-3 must run.*Nothing was done"):
        restore_stack(servers, fleet, progress, Deadline(60), fleet.server("db-1"), ("--latest",))
    assert servers.commands == []


def test_a_restore_that_fails_touches_no_data(progress: Progress):
    flushed: dict[tuple[str, str], object] = {(f"db-{n}", "flush"): shipped(5) for n in (1, 2, 3)}
    servers = Servers({**flushed, ("db-1", "restore"): "there is a gap before now"})
    with pytest.raises(OperationError, match="there is a gap"):
        restore_stack(servers, FLEET, progress, Deadline(60), FLEET.server("db-1"), ())
    assert {words[0] for _, words in servers.commands} == {"flush", "restore"}


def test_all_members_stop_before_one_gets_the_new_data(progress: Progress, monkeypatch: pytest.MonkeyPatch):
    results: dict[tuple[str, str], object] = {(f"db-{n}", "flush"): shipped(5) for n in (1, 2, 3)}
    results |= {("db-1", command): {"directory": "/x"} for command in ("restore", "install", "lead")}
    results |= {(f"db-{n}", command): {} for n in (1, 2, 3) for command in ("discard", "start", "now")}
    results |= {("copy-1", command): {} for command in ("discard", "start")}
    servers = Servers(results)
    monkeypatch.setattr("operations.backups.survey", lambda *_: ())
    monkeypatch.setattr("operations.backups.group_problems", lambda *_: [])
    monkeypatch.setattr("operations.backups.primaries", lambda _: ["db-1"])
    monkeypatch.setattr("operations.backups.online_members", lambda _: ["db-1", "db-2", "db-3"])
    done = restore_stack(servers, FLEET, progress, Deadline(60), FLEET.server("db-1"), ())
    order = [(words[0], name) for name, words in servers.commands if words[0] != "flush"]
    assert order[0] == ("restore", "db-1")
    assert sorted(order[1:3]) == [("discard", "db-2"), ("discard", "db-3")]
    assert order[3:5] == [("install", "db-1"), ("lead", "db-1")]
    assert sorted(order[5:7]) == [("start", "db-2"), ("start", "db-3")]
    assert order[7:9] == [("discard", "copy-1"), ("start", "copy-1")], "it could follow nobody with the data of before"
    assert order[9:] == [("now", "db-2")], "the new history has a backup of its own, from a replica"
    assert 0 <= done["writable_after"] <= done["whole_after"]


@pytest.fixture
def restoring(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A restore whose jobs all succeed; `writers` and `problems` are what a look at the group sees."""
    results: dict[tuple[str, str], object] = {(f"db-{n}", "flush"): shipped(5) for n in (1, 2, 3)}
    results |= {("db-1", command): {"directory": "/x"} for command in ("restore", "install", "lead")}
    results |= {(f"db-{n}", command): {} for n in (1, 2, 3) for command in ("discard", "start", "now")}
    results |= {("copy-1", command): {} for command in ("discard", "start")}
    found = SimpleNamespace(results=results, writers=["db-1"], problems=[], survey=lambda *_: ())
    monkeypatch.setattr("operations.backups.survey", lambda *_: found.survey())
    monkeypatch.setattr("operations.backups.online_members", lambda _: ["db-1", "db-2", "db-3"])
    monkeypatch.setattr("operations.backups.group_problems", lambda *_: found.problems)
    monkeypatch.setattr("operations.backups.primaries", lambda _: found.writers)
    return found


def test_the_database_is_writable_when_one_member_takes_writes(
    restoring: SimpleNamespace, progress: Progress, clock: Clock
):
    """The one that leads is fenced while it is alone; the rest may follow later."""
    restoring.writers, restoring.problems = [], ["db-2: its database is RECOVERING, not ONLINE"]
    clock.at += [(30, lambda: restoring.writers.append("db-1")), (90, restoring.problems.clear)]
    deadline = Deadline(600, clock, clock.sleep)
    done = restore_stack(Servers(restoring.results), FLEET, progress, deadline, FLEET.server("db-1"), ())
    assert done["writable_after"] == pytest.approx(30, abs=1)
    assert done["whole_after"] == pytest.approx(90, abs=1)


def test_a_copy_that_takes_most_of_the_time_leaves_as_much_for_what_follows(
    restoring: SimpleNamespace, progress: Progress, clock: Clock
):
    """Its own time is for the copy: from then on members are stopped, and must be started again."""
    servers = Slow(restoring.results, clock, {"restore": 590, "discard": 60, "start": 60})
    deadline = Deadline(600, clock, clock.sleep)
    done = restore_stack(servers, FLEET, progress, deadline, FLEET.server("db-1"), ())
    assert done["writable_after"] >= 710, "since the command was given"
    assert done["replicas"] == {"copy-1": ""}
    assert servers.commands[-1] == ("db-2", ["now"])


@pytest.mark.parametrize(
    "command, name, left",
    [
        ("discard", "db-3", "stop db-3 and put aside what is there; put the restored data in their place on db-1; "),
        (
            "install",
            "db-1",
            "put the restored data in their place on db-1; have db-1 begin the group; start db-2, db-3, ",
        ),
        ("lead", "db-1", "have db-1 begin the group; start db-2, db-3, to clone it; "),
        ("start", "db-2", "start db-2, to clone it; "),
    ],
)
def test_a_step_that_is_too_late_says_what_is_left_out(
    restoring: SimpleNamespace, progress: Progress, clock: Clock, command: str, name: str, left: str
):
    servers = Slow(restoring.results, clock, {(command, name): 1000})
    with pytest.raises(OperationError) as caught:
        restore_stack(servers, FLEET, progress, Deadline(600, clock, clock.sleep), FLEET.server("db-1"), ())
    message = str(caught.value)
    assert message.startswith(f"{name}: tripod-job-{command}-")
    assert "has not ended; it goes on there, see journalctl" in message
    assert f"Left out: {left}" in message
    assert (
        "to clone it; empty the read replicas (copy-1); make a new backup. When no job of it goes on any more, give "
        "the command again"
    ) in message
    assert "/var/lib/tripod/backup/stack exists on db-1" in message


def test_all_members_that_failed_are_named(restoring: SimpleNamespace, progress: Progress):
    restoring.results |= {("db-2", "discard"): "No space left on device", ("db-3", "discard"): "Read-only file system"}
    with pytest.raises(
        OperationError,
        match=r"db-2: No space.*; db-3: Read-only.*Left out: stop db-2, db-3 and.*give the command again",
    ):
        restore_stack(Servers(restoring.results), FLEET, progress, Deadline(60), FLEET.server("db-1"), ())


def test_a_group_that_is_not_whole_in_time_says_why_and_what_is_left_out(
    restoring: SimpleNamespace, progress: Progress, clock: Clock
):
    restoring.problems = ["db-2: its database is RECOVERING, not ONLINE"]
    deadline = Deadline(600, clock, clock.sleep)
    with pytest.raises(
        OperationError,
        match=r"not whole yet \(db-2: its database is RECOVERING.*Left out: empty the read replicas \(copy-1\); make a "
        r"new backup\..*backup now --stack dev, and for copy-1: .*runbook --stack dev replica-behind\. Or give the",
    ):
        restore_stack(Servers(restoring.results), FLEET, progress, deadline, FLEET.server("db-1"), ())


def test_the_group_is_looked_for_again_while_aws_is_away(restoring: SimpleNamespace, progress: Progress, clock: Clock):
    def away() -> None:
        raise EndpointError("The AWS endpoint for ssm:SendCommand cannot be reached")

    restoring.survey = away
    clock.at.append((120, lambda: setattr(restoring, "survey", lambda *_: ())))
    deadline = Deadline(600, clock, clock.sleep)
    done = restore_stack(Servers(restoring.results), FLEET, progress, deadline, FLEET.server("db-1"), ())
    assert done["whole_after"] == pytest.approx(120, abs=1)


def test_a_restore_without_the_backup_at_its_end_says_what_it_means(restoring: SimpleNamespace, progress: Progress):
    restoring.results["db-2", "now"] = "no room"
    with pytest.raises(
        OperationError, match=r"restored and all members are ONLINE.*db-2: no room.*backup now --stack dev"
    ):
        restore_stack(Servers(restoring.results), FLEET, progress, Deadline(60), FLEET.server("db-1"), ())


def test_a_read_replica_that_cannot_be_emptied_is_named_and_stops_nothing(
    restoring: SimpleNamespace, progress: Progress
):
    restoring.results["copy-1", "discard"] = "No space left on device"
    servers = Servers(restoring.results)
    done = restore_stack(servers, FLEET, progress, Deadline(60), FLEET.server("db-1"), ())
    assert done["replicas"] == {"copy-1": "copy-1: No space left on device"}
    assert ("copy-1", ["start"]) not in servers.commands
    assert servers.commands[-1] == ("db-2", ["now"])


def test_a_read_replica_that_is_off_is_not_waited_for(progress: Progress):
    off = replace(server("copy-1", Role.READ_REPLICA), state="stopped")
    fleet = Fleet("dev", (server("db-1"), off))
    assert renew_read_replicas(Servers({}), fleet, progress, Deadline(60)) == {"copy-1": "it is stopped"}
    assert renew_read_replicas(Servers({}), Fleet("dev", (server("db-1"),)), progress, Deadline(60)) == {}


def test_a_restore_without_its_backup_names_the_read_replicas_too(restoring: SimpleNamespace, progress: Progress):
    restoring.results |= {("copy-1", "discard"): "No space left on device", ("db-2", "now"): "no room"}
    with pytest.raises(
        OperationError, match=r"copy-1, a read replica, was not emptied \(copy-1: No space.*for copy-1: "
    ):
        restore_stack(Servers(restoring.results), FLEET, progress, Deadline(60), FLEET.server("db-1"), ())
