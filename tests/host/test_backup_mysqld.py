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
