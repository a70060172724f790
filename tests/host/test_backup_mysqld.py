"""The throw-away mysqld: how it is started and ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from userdata.host import backup_mysqld
from userdata.host.backup_mysqld import Scratch


class Process:
    """A mysqld that runs until it is told to end."""

    def __init__(self, command: list[str], **_: Any) -> None:
        self.command = command
        self.told: list[str] = []

    def poll(self) -> None: ...

    def terminate(self) -> None:
        self.told.append("SIGTERM")

    def wait(self, seconds: float) -> int:
        self.told.append("waited")
        return 0


def test_it_flushes_at_its_end_and_not_at_each_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A day's binary logs may have millions. A cold end (innodb_fast_shutdown = 2) would leave them in the redo log."""
    began: list[Process] = []
    monkeypatch.setattr(backup_mysqld.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(backup_mysqld.subprocess, "Popen", lambda *a, **k: began.append(Process(*a, **k)) or began[0])
    monkeypatch.setattr(Scratch, "connect", lambda *_: SimpleNamespace(close=lambda: None))
    scratch = Scratch(tmp_path)
    scratch.start()
    scratch.stop()
    (mysqld,) = began
    assert "--innodb-flush-log-at-trx-commit=0" in mysqld.command
    assert not [word for word in mysqld.command if "fast-shutdown" in word]
    assert mysqld.told == ["SIGTERM", "waited"]


def test_what_a_clone_needs_is_without_binary_and_relay_logs(tmp_path: Path):
    """A member keeps days of them. What is restored has none, and counts all."""
    (tmp_path / "app").mkdir()
    sizes = {"ibdata1": 100, "app/entries.ibd": 30, "binlog.000001": 7000, "binlog.000002": 7000, "auto.cnf": 1}
    sizes |= {"relay-group_replication_applier.000004": 7000, "relay.000001": 7000, "binlog.000009": 5}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert backup_mysqld.clone_size(tmp_path) == backup_mysqld.size(tmp_path) == sum(sizes.values())
    indexes = {
        "binlog.index": f"./binlog.000001\n{tmp_path}/binlog.000002\n./binlog.000003\n",
        "relay.index": "./relay.000001\n",
        "relay-group_replication_applier.index": "./relay-group_replication_applier.000004\n",
    }
    for name, text in indexes.items():
        (tmp_path / name).write_text(text)
    counted = 100 + 30 + 1 + 5 + sum(map(len, indexes.values()))
    assert backup_mysqld.clone_size(tmp_path) == counted
    assert backup_mysqld.size(tmp_path) == counted + 4 * 7000
