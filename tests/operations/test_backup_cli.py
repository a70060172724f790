"""`operations backup` and `operations restore` as they are typed: what they ask of whom, say, and refuse."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from click.testing import CliRunner

from operations import cli
from operations.backups import worker
from operations.command import STDOUT_LIMIT, CommandResult
from operations.deadline import Deadline
from operations.errors import (
    CommandFailedError,
    EndpointError,
    OperationError,
    PermissionDeniedError,
    ServerUnreachableError,
    ThrottledError,
)
from operations.jobs import run_job
from operations.progress import Progress
from tests.operations.conftest import REFERENCE, launch

GTIDS = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100"
RESULTS = {
    "now": {"id": "0001-2026", "size": 12_300_000, "gtids": GTIDS},
    "list": {
        "timeline": 1,
        "count": 1,
        "logs": 7,
        "until": "2026-11-24 10:15:00",
        "backups": [{"id": "0001-2026", "server": "server-2", "at": "2026-11-24 02:00", "size": 12_300_000}],
    },
    "verify": {"objects": 9, "bytes": 45_600_000},
    "drill": {
        "backup": "0001-2026",
        "restore_seconds": 12.4,
        "server": "server-2",
        "gtids": GTIDS,
        "tables": 2,
        "rows": 42,
    },
    "flush": {"sent": 1, "complete_until": 77},
    "restore": {"directory": "/var/lib/tripod/backup/look", "text": "to the last transaction", "gtids": GTIDS},
}


def looked(state, active="inactive"):
    """What a look at a job prints."""
    return f"ActiveState={active}\n" + json.dumps({"step": "at work", "error": None, "result": None, **state})


class Jobs:
    """Answers to the commands by which a job is started and looked at; `jobs` are those that were started."""

    def __init__(self, hosts, results=RESULTS):
        self.jobs: list[tuple[str, list[str]]] = []
        self.started: list[str] = []
        self._results, self._latest = results, {}
        hosts.answers["systemd-run"] = self._start
        hosts.answers["cat /run/tripod-backup"] = self._look

    def _start(self, server, script):
        words = shlex.split(script)
        arguments = words[words.index("host.backup_command") + 1 : words.index("--job")]
        self.jobs.append((server.name, arguments))
        self.started.append(script)
        self._latest[server.name] = arguments[0]
        return CommandResult(server.name, 0, "", "")

    def _look(self, server, _):
        result = self._results[self._latest[server.name]]
        if isinstance(result, str):
            return CommandResult(server.name, 0, result, "")
        return CommandResult(server.name, 0, looked({"done": True, "result": result}), "")


@pytest.fixture
def jobs(hosts) -> Jobs:
    return Jobs(hosts)


@pytest.fixture
def invoke(monkeypatch, hosts, aws):
    launch("dev", REFERENCE)
    monkeypatch.setattr(cli, "make_runner", lambda aws: hosts)
    return lambda *words: CliRunner().invoke(cli.main, [*words, "--stack", "dev"])


@pytest.mark.parametrize(
    "command, said",
    [
        ("now", f"Backup 0001-2026, 12.3 MB compressed, holds {GTIDS}."),
        ("list", "7 binary logs, until 2026-11-24 10:15:00."),
        ("verify", "9 objects, 45.6 MB: all as they were sent, without a gap."),
        ("drill", f"restored in 12 s: 2 tables, 42 rows, all as on server-2 at {GTIDS}."),
    ],
)
def test_a_backup_command_is_done_by_a_replica_and_told(invoke, jobs, command, said):
    done = invoke("backup", command)
    assert done.exit_code == 0, done.output
    assert said in done.output
    assert jobs.jobs == [("server-2", [command])]
    # What reads or writes much must not take the disk from the database.
    assert ("IOSchedulingClass=idle" in jobs.started[0]) == (command != "list")


def test_the_list_names_every_backup(invoke, jobs):
    output = invoke("backup", "list").output
    assert "Backups of stack dev, timeline 1" in output
    assert "0001-2026" in output
    assert "12.3 MB" in output


def test_the_list_says_what_it_leaves_out(invoke, hosts, jobs):
    assert "of 1 backups" not in invoke("backup", "list").output
    Jobs(hosts, {"list": {**RESULTS["list"], "count": 365}})
    assert "These are the newest 1 of 365 backups." in invoke("backup", "list").output


def test_a_server_can_be_named(invoke, jobs):
    assert invoke("backup", "now", "--server", "server-3").exit_code == 0
    assert jobs.jobs == [("server-3", ["now"])]


def test_a_job_that_fails_is_one_message(invoke, hosts):
    Jobs(hosts, {"verify": looked({"done": True, "error": "a is corrupt"})})
    done = invoke("backup", "verify")
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == "Error: server-2: a is corrupt"


def test_a_copy_is_made_beside_the_database(invoke, jobs):
    done = invoke("restore", "--to-gtid", "u:7", "--into", "look")
    assert done.exit_code == 0, done.output
    last = ("server-2", ["restore", "--name", "look", "--complete-until", "77", "--to-gtid", "u:7"])
    assert jobs.jobs[-1] == last
    assert {words[0] for _, words in jobs.jobs} == {"flush", "restore"}
    assert "Restored on server-2 into /var/lib/tripod/backup/look: to the last transaction." in done.output
    assert done.output.splitlines()[-1] == f"It holds {GTIDS}."


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "one of --to, --to-gtid and --latest"),
        (("--latest", "--to", "2026-11-23T10:15:00Z", "--into", "x"), "one of --to, --to-gtid and --latest"),
        (("--latest",), "--into NAME for a scratch copy, or --confirm STACK"),
        (("--latest", "--into", "x", "--confirm", "dev"), "--into NAME for a scratch copy, or --confirm STACK"),
        (("--to", "yesterday", "--into", "x"), "'yesterday' is not a time. Write it as 2026-11-23T10:15:00Z."),
        (("--to", "2026-11-23 10:15", "--into", "x"), "'2026-11-23 10:15' has no time zone."),
        (("--latest", "--confirm", "prod"), "--confirm says 'prod', but the stack is 'dev'. Nothing was done."),
    ],
)
def test_a_restore_that_is_not_clear_asks_nothing_of_any_server(invoke, jobs, hosts, words, message):
    done = invoke("restore", *words)
    assert done.exit_code == 2
    assert message in done.output
    assert hosts.commands == []


def test_the_stack_is_restored_only_with_its_name_once_more(invoke, jobs, monkeypatch):
    def restored(*arguments):
        assert arguments[-1] == ()
        replicas = {"copy-1": "", "copy-2": "it is stopped"}
        return {"text": "to the end", "writable_after": 31.2, "whole_after": 44.9, "gtids": GTIDS, "replicas": replicas}

    monkeypatch.setattr("operations.backup_cli.restore_stack", restored)
    done = invoke("restore", "--latest", "--confirm", "dev")
    assert done.exit_code == 0, done.output
    assert "Restored stack 'dev': to the end. Writable again 31 s" in done.output
    assert "all members ONLINE after 45 s" in done.output
    assert "copy-1, a read replica, starts empty and clones" in done.output
    assert "copy-2, a read replica, was not emptied (it is stopped)" in done.output


def test_only_a_running_database_server_works_on_backups(fleet, hosts):
    assert worker(hosts, fleet).name == "server-2"
    with pytest.raises(OperationError, match="unknown-1"):
        worker(hosts, fleet, "unknown-1")


@pytest.mark.parametrize(
    "states, expected",
    [
        ({"server-2": "OFFLINE"}, "server-3"),
        ({"server-2": "ERROR", "server-3": "RECOVERING"}, "server-1"),
        ({"server-1": "OFFLINE", "server-2": "OFFLINE", "server-3": "OFFLINE"}, "server-1"),
    ],
    ids=["another replica", "the primary rather than what is outside the group", "whoever runs, for a restore"],
)
def test_a_member_that_is_online_works_on_backups(fleet, hosts, states, expected):
    for name, state in states.items():
        hosts[name].member_state, hosts[name].writable = state, False
    assert worker(hosts, fleet).name == expected


@pytest.mark.parametrize("last", ["ActiveState=failed\n", looked({"done": False}), looked({"done": False}, "failed")])
def test_a_job_that_ends_without_a_word_is_told(fleet, hosts, last):
    """Killed before its first word, or (for its memory, for one) in the middle."""
    Jobs(hosts, {"now": last})
    with pytest.raises(CommandFailedError, match=r"server-2: tripod-job-now-[0-9a-f]{8} ended without a word"):
        run_job(hosts, fleet.server("server-2"), Progress(str), Deadline(30), "now")


WHOLE = looked({"done": True, "result": {"text": "x" * STDOUT_LIMIT}})


@pytest.mark.parametrize(
    "last, why",
    [(WHOLE[:STDOUT_LIMIT], "Systems Manager shows 24000 characters, and it has more"), (WHOLE[:90], "char")],
    ids=["cut", "damaged"],
)
def test_what_a_job_said_and_cannot_be_read_is_one_message(invoke, hosts, last, why):
    Jobs(hosts, {"now": last})
    done = invoke("backup", "now")
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), "no traceback"
    message = done.output.splitlines()[-1]
    assert message.startswith("Error: server-2: tripod-job-now-")
    assert "has ended, but what it said cannot be read" in message
    assert why in message
    assert re.search(r"journalctl -u tripod-job-now-[0-9a-f]{8}$", message)


def test_what_cannot_be_read_of_a_job_that_runs_is_looked_at_again(fleet, hosts, clock):
    results = {"now": looked({"done": False}, "active")[:40]}
    Jobs(hosts, results)
    clock.at.append((3, lambda: results.update(RESULTS)))
    deadline, lines = Deadline(60, clock=clock, sleep=clock.sleep), []
    assert run_job(hosts, fleet.server("server-2"), Progress(lines.append), deadline, "now") == RESULTS["now"]
    assert any("what it says cannot be read" in line for line in lines)


@pytest.mark.parametrize(
    "error",
    [
        ServerUnreachableError("server-2", "Systems Manager gave no result within 60 s"),
        EndpointError("The AWS endpoint for ssm:SendCommand cannot be reached"),
        ThrottledError("AWS kept throttling ssm:SendCommand"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_job_is_looked_for_again_while_it_cannot_be_seen(fleet, hosts, clock, error):
    jobs, lines = Jobs(hosts), []
    look, hosts.answers["cat /run/tripod-backup"] = hosts.answers["cat /run/tripod-backup"], error
    clock.at.append((300, lambda: hosts.answers.update({"cat /run/tripod-backup": look})))
    deadline = Deadline(600, clock=clock, sleep=clock.sleep)
    assert run_job(hosts, fleet.server("server-2"), Progress(lines.append), deadline, "now") == RESULTS["now"]
    assert jobs.jobs == [("server-2", ["now"])], "it was not begun again"
    assert clock.now == pytest.approx(300, abs=2)
    assert any("cannot be asked how it goes, trying again" in line for line in lines)


def test_what_will_not_pass_by_itself_ends_the_wait(fleet, hosts):
    Jobs(hosts)
    hosts.answers["cat /run/tripod-backup"] = PermissionDeniedError("ssm:SendCommand", "arn:i", None)
    with pytest.raises(PermissionDeniedError):
        run_job(hosts, fleet.server("server-2"), Progress(str), Deadline(30), "now")


def test_a_job_that_takes_too_long_goes_on_and_is_told(fleet, hosts, clock):
    Jobs(hosts, {"now": "ActiveState=active\n"})
    deadline = Deadline(3, clock=clock, sleep=clock.sleep)
    with pytest.raises(OperationError, match="has not ended; it goes on there, see journalctl -u tripod-job-now"):
        run_job(hosts, fleet.server("server-2"), Progress(str), deadline, "now")
    assert clock.now == pytest.approx(3, abs=1)
