"""A restore of the stack that breaks can be given again: with the servers' own programs, and a bucket."""

from __future__ import annotations

import argparse
import json
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from operations.backups import restore_stack
from operations.command import CommandResult
from operations.deadline import Deadline
from operations.errors import EndpointError, OperationError
from operations.fleet import Fleet, FleetServer
from operations.progress import Progress
from tests.host.test_backup import backup, gtids, log
from tests.host.test_backup_timeline import put
from topology.names import Role
from userdata.host import backup_mysqld, backup_replace, backup_timeline
from userdata.host.backup_plan import Target
from userdata.host.backup_restore import RECORD
from userdata.host.backup_store import BackupError, Store

FLEET = Fleet(
    "dev",
    tuple(FleetServer(f"db-{n}", f"i-{n}", (Role.DATABASE,), "a", "10.0.0.1", None, "running") for n in (1, 2, 3)),
)


class Machines:
    """Runs the jobs of a restore, each server in a directory of its own. mysqld and the copying are left out."""

    def __init__(self, place: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.store, self._patch = place, store, monkeypatch
        self.planned: list[list[int]] = []
        self.broken: Callable[[str], bool] = lambda command: False
        self._ended: dict[str, str] = {}
        # Servers work at the same time, but the paths of their programs are one process's here.
        self._one_at_a_time = threading.Lock()
        for server in FLEET.servers:
            (place / server.name / "mysql").mkdir(parents=True)
            (place / server.name / "mysql" / "old").write_text("")
        monkeypatch.setattr(backup_replace.subprocess, "run", lambda *_, **__: None)

    def run(self, server: FleetServer, script: str, timeout: float) -> CommandResult:
        if script.startswith("systemd-run"):
            words = shlex.split(script)
            options = words[words.index("host.backup_command") + 1 : words.index("--job")]
            if self.broken(options[0]):
                raise EndpointError("The AWS endpoint for ssm:SendCommand cannot be reached")
            with self._one_at_a_time:
                self._ended[server.name] = self._job(server.name, options[0])
            return CommandResult(server.name, 0, "", "")
        return CommandResult(server.name, 0, f"ActiveState=inactive\n{self._ended[server.name]}", "")

    def _job(self, server: str, command: str) -> str:
        directory, here = self.place / server, argparse.Namespace(server=server, read_replica=None)
        self._patch.setattr(backup_mysqld, "DIRECTORY", directory / "backup")
        self._patch.setattr(backup_replace, "DATA", directory / "mysql")
        self._patch.setattr(backup_replace, "VIEW_PATH", directory / "view.json")
        self._patch.setattr(backup_replace, "FORCE", directory / "lead")
        error, result = None, {}
        try:
            result = self._done(here, directory, command) or {}
        except BackupError as caught:
            error = str(caught)
        return json.dumps({"step": command, "done": True, "error": error, "result": result})

    def _done(self, here: Any, directory: Path, command: str) -> dict[str, Any] | None:
        match command:
            case "flush":
                return {"sent": 0, "complete_until": 0}
            case "restore":
                legs = backup_timeline.way(self.store, Target(moment=250))
                self.planned.append([leg.timeline for leg in legs])
                copy = directory / "backup" / "stack"
                (copy / "data").mkdir(parents=True)
                (copy / "data" / "mysql.ibd").write_text("")
                (copy / RECORD).write_text(json.dumps(backup_timeline.record(legs, gtids("1-25"), 250)))
                return {"directory": str(copy)}
            case "discard":
                return backup_replace.discard(here)
            case "install":
                return backup_replace.install(self.store, "stack", here)
            case "lead":
                return backup_replace.lead(self.store, here)
            case _:
                return {}


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("operations.backups.survey", lambda *_: ())
    monkeypatch.setattr("operations.backups.online_members", lambda _: ())
    monkeypatch.setattr("operations.backups.group_problems", lambda *_: [])
    monkeypatch.setattr("operations.backups.primaries", lambda _: ["db-1"])
    # A name for each second.
    seconds = iter(range(100))
    monkeypatch.setattr(backup_replace, "time", SimpleNamespace(time=lambda: next(seconds)))
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="backups")
        store = Store("backups", client)
        put(store, 1, backup("old", "1-10", 100))
        put(store, 1, *(log("server-1", n, f"1-{n * 10}", f"{n * 10 + 1}-{n * 10 + 10}") for n in (1, 2, 3)))
        yield Machines(tmp_path, store, monkeypatch)


@pytest.mark.parametrize(
    "at, planned, timelines",
    [
        ("discard", [[1], [1]], 2),
        ("install", [[1], [1]], 2),
        ("lead", [[1], [1]], 3),
        ("start", [[1], [1, 2]], 3),
        ("now", [[1], [1, 2]], 3),
    ],
)
def test_a_restore_that_broke_can_be_given_again(machines: Machines, at: str, planned: list[list[int]], timelines: int):
    """Whatever it broke at: the copy is the same, and the group goes on from it."""

    def restore() -> dict[str, Any]:
        return restore_stack(machines, FLEET, Progress(str), Deadline(60), FLEET.server("db-1"), ())

    machines.broken = lambda command: command == at
    with pytest.raises(OperationError):
        restore()
    machines.broken = lambda command: False
    # As docs/restore.md says.
    copy = machines.place / "db-1" / "backup" / "stack"
    if copy.exists():
        for path in (copy / "data" / "mysql.ibd", copy / RECORD):
            path.unlink()
        (copy / "data").rmdir()
        copy.rmdir()
    restore()
    assert machines.planned == planned
    assert machines.store.timeline() == timelines
    assert [path.name for path in (machines.place / "db-1" / "mysql").iterdir()] == ["mysql.ibd"]
