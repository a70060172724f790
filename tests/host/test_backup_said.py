"""What a job says of itself: its file is short whatever it did, its journal has all."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operations.command import STDOUT_LIMIT
from tests.host.test_backup import backup
from userdata.host import backup_command, backup_drill
from userdata.host.backup_store import BackupError, Store

HERE = SimpleNamespace(server="server-2")
# As long as topology/checks.py lets them be.
LONGEST_NAME = "s" * 20


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command as its unit does; what is in the job's file."""
    identity = SimpleNamespace(stack="dev", region="us-east-1", bucket="tripod-dev-1-us-east-1")
    monkeypatch.setattr(backup_command.Identity, "load", lambda _: identity)
    monkeypatch.setattr(backup_command.Database, "load", lambda: HERE)
    monkeypatch.setattr(backup_command, "Store", lambda *_: store)
    monkeypatch.setattr(backup_command, "metric", lambda *_: None)
    monkeypatch.setattr(backup_command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(backup_command.backup_mysqld, "tidy", lambda: None)

    def run(*words: str) -> dict[str, Any]:
        file = tmp_path / "tripod-job-1.json"
        backup_command.main([*words, "--job", str(file)])
        assert len(file.read_text()) < STDOUT_LIMIT - 100, "the look at it says the unit's state before"
        return json.loads(file.read_text())

    return run


@pytest.mark.parametrize("letter", ["k", "é"])
def test_a_long_error_is_cut_and_the_journal_has_all(
    command: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, letter: str
):
    error = "there is a gap: " + letter * 100_000

    def fail(*_: Any) -> None:
        raise BackupError(error)

    monkeypatch.setattr(backup_command, "verify", fail)
    with caplog.at_level(logging.INFO, "tripod-backup"):
        said = command("verify")
    assert said["error"].startswith("there is a gap: " + letter * 1_000)
    assert said["error"].endswith(f"... (all {len(error)} characters: journalctl -u tripod-job-1)")
    assert error in caplog.messages


def test_a_long_text_of_a_result_is_cut_and_the_journal_has_all(
    command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    made = {"directory": "/d", "text": "t" * 50_000, "gtids": "g" * 50_000, "seconds": 2.0}
    monkeypatch.setattr(backup_command, "_restore", lambda *_: made)
    result = command("restore", "--name", "look")["result"]
    assert (result["directory"], result["seconds"]) == ("/d", 2.0)
    assert "journalctl -u tripod-job-1" in result["text"]
    assert json.loads(capsys.readouterr().out) == made


@pytest.mark.parametrize("number", [3, 400])
def test_the_newest_backups_are_listed_and_all_are_counted(command: Any, monkeypatch: pytest.MonkeyPatch, number: int):
    def one(day: int) -> Any:
        made = backup(f"20260101T{day:06d}Z-{LONGEST_NAME}-abcdef", "1-5", 1_700_000_000_000_000 + day)
        return SimpleNamespace(**{**vars(made), "server": LONGEST_NAME, "stored": SimpleNamespace(size=10**13)})

    backups = [one(day) for day in range(number)]
    monkeypatch.setattr(backup_command.backup, "find", lambda *_: backups)
    result = command("list")["result"]
    assert result["count"] == number
    assert [one["id"] for one in result["backups"]] == [one.id for one in backups[-100:]]


def test_a_drill_says_how_many_tables_and_leaves_each_in_the_bucket(
    command: Any, store: Store, monkeypatch: pytest.MonkeyPatch
):
    tables = {f"app.table_{n}": backup_drill.Table(2, n) for n in range(1000)}
    monkeypatch.setattr(backup_drill, "_compare", lambda *given: given[-1].update(tables=_written(tables)))
    result = command("drill")["result"]
    assert (result["tables"], result["rows"], result["server"]) == (1000, 2000, "server-2")
    (key,) = store.keys("drills/server-2/")
    assert len(store.read(key)["tables"]) == 1000


def _written(tables: dict[str, backup_drill.Table]) -> dict[str, Any]:
    return {name: vars(table) for name, table in tables.items()}
