"""Many binary logs of one restore: fetched some at once, applied in their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.host.test_backup import BACKUPS, gtids, log
from userdata.host import backup_restore
from userdata.host.backup_plan import Plan
from userdata.host.backup_store import BackupError, Stored
from userdata.host.gtid import GtidSet

PLAN = Plan(BACKUPS[1], tuple(log("server-1", n, f"1-{n + 30}", str(n + 31)) for n in range(60)), GtidSet())


def fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str = "") -> tuple[list[Path], list[str], list[str]]:
    """What `_logs` returns, in what order objects came, what was reported."""
    came: list[str] = []
    said: list[str] = []
    lock = threading.Lock()

    def unpack(store: object, stored: Stored, then: Sequence[str], out: Path) -> None:
        name = stored.key[-10:-4]
        if name == broken:
            raise BackupError(f"{stored.key} is corrupt")
        # Some take longer than those after them.
        time.sleep(0.01 * (int(name) % 3))
        out.write_text(name)
        with lock:
            came.append(name)

    monkeypatch.setattr(backup_restore, "_unpack", unpack)
    try:
        return backup_restore._logs(SimpleNamespace(), PLAN, tmp_path / "logs", said.append), came, said
    except BackupError as error:
        return [], came, [str(error)]


def test_files_are_in_the_order_of_the_plan_whatever_came_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    files, came, said = fetch(monkeypatch, tmp_path)
    assert [path.read_text() for path in files] == [f"{number:06d}" for number in range(60)]
    assert came != sorted(came), "one after the other"
    assert said == [f"downloading binary logs: {number} of 60" for number in (0, 25, 50)]


def test_one_that_cannot_be_had_ends_it_without_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    _, came, said = fetch(monkeypatch, tmp_path, broken="000004")
    assert said == ["server-1/binlog.000004.zst is corrupt"]
    assert len(came) < 30


def test_more_files_than_one_command_can_name_are_applied_in_parts(monkeypatch: pytest.MonkeyPatch):
    ran: list[list[str]] = []
    monkeypatch.setattr(backup_restore, "FILES_AT_ONCE", 4)
    monkeypatch.setattr(backup_restore, "_run_some", lambda files, wants, scratch: ran.append([f.name for f in files]))
    backup_restore._run([Path(str(number)) for number in range(9)], gtids("1-9"), SimpleNamespace())
    assert ran == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8"]]
