"""The restore drill: what is the same and what is not, whose turn it is, and what is written down of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from userdata.host import backup, backup_command, backup_drill, backup_mysqld
from userdata.host.backup_drill import Table, differences
from userdata.host.backup_store import BackupError, Store
from userdata.host.gtid import GtidSet

HERE = SimpleNamespace(server="server-2")
SOURCE = {"app.entries": Table(3, 77), "app.users": Table(1, 5)}
GTIDS = GtidSet.parse("6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11:1-9")


@pytest.mark.parametrize(
    "copy, expected",
    [
        (SOURCE, []),
        ({**SOURCE, "app.users": Table(1, 6)}, ["app.users: 1 rows, checksum 5; copy 1, 6"]),
        ({"app.entries": Table(3, 77)}, ["app.users: the copy lacks it"]),
        ({**SOURCE, "app.more": Table(0, 0)}, ["app.more: only the copy has it"]),
    ],
    ids=["the same", "another content", "a table less", "a table more"],
)
def test_every_difference_is_named(copy, expected):
    assert differences(SOURCE, copy) == expected


class Copy:
    """A restored scratch database, as the drill sees it."""

    def __init__(self) -> None:
        self.removed = False

    def connect(self, seconds: float):
        assert seconds > 0
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass

    def remove(self) -> None:
        self.removed = True


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch, store: Store):
    """A drill whose copy holds what is given; the copy, to look at afterwards."""
    copy = Copy()

    def run(tables, gtids: GtidSet = GTIDS):
        restored = SimpleNamespace(backup="one", size=1, seconds=2.0, gtids=gtids)
        shipper = SimpleNamespace(look=lambda at_once: at_once)
        monkeypatch.setattr(backup_drill, "snapshot", lambda: (GTIDS, SOURCE))
        monkeypatch.setattr(backup_drill, "Shipper", lambda *_: shipper)
        monkeypatch.setattr(backup_drill.backup_restore, "restore", lambda *_: (copy, restored))
        monkeypatch.setattr(backup_drill, "read", lambda _: tables)
        return backup_drill.drill(store, HERE, lambda _: None)

    run.copy = copy
    return run


def test_a_good_drill_leaves_evidence_and_nothing_else(store: Store, drill):
    done = drill(dict(SOURCE))
    assert drill.copy.removed
    (key,) = store.keys("drills/server-2/")
    assert store.read(key) == done
    assert done["tables"]["app.entries"] == {"rows": 3, "checksum": 77}
    assert done["gtids"] == str(GTIDS)
    assert backup_drill.verified(store) == done["ended"]


def test_a_bad_drill_says_what_is_wrong_and_verifies_nothing(store: Store, drill):
    with pytest.raises(BackupError, match="not the same"):
        drill({**SOURCE, "app.users": Table(1, 6)})
    assert drill.copy.removed
    (key,) = store.keys("drills/server-2/")
    assert "app.users" in store.read(key)["error"]
    assert backup_drill.verified(store) is None


def test_a_copy_with_other_transactions_is_refused(drill):
    with pytest.raises(BackupError, match="this member held"):
        drill(dict(SOURCE), GTIDS | GtidSet.parse("6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11:10"))


def test_one_server_drills_and_none_after_a_good_one(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backup, "whose_turn", lambda: "server-2")
    assert "turn of server-2" in str(backup_drill.due(store, SimpleNamespace(server="server-1"), 1e9))
    assert backup_drill.due(store, HERE, 1e9) is None
    assert "claimed" in str(backup_drill.due(store, HERE, 1e9))
    store.write("drills/server-3/20260101T000000Z.json", {"ended": 1e9, "error": None})
    store.write("drills/server-1/20260201T000000Z.json", {"ended": 2e9, "error": "bad"})
    assert "already" in str(backup_drill.due(store, HERE, 1e9 + 3600))
    assert backup_drill.due(store, HERE, 1e9 + 7 * 86400) is None


def test_every_server_shows_the_newest_good_drill(store: Store, monkeypatch: pytest.MonkeyPatch):
    shown = {}
    monkeypatch.setattr(backup_command, "metric", lambda name, value: shown.update({name: value}))
    monkeypatch.setattr(backup_drill, "due", lambda *_: "it is the turn of server-1")
    store.write("drills/server-1/20260101T000000Z.json", {"ended": 1e9, "error": None})
    options = backup_command._parser().parse_args(["weekly"])
    assert "skipped" in backup_command.run(options, store, HERE, backup_command.Job(None))
    assert shown == {"tripod_last_verified_restore_timestamp_seconds": 1e9}


def test_no_scratch_copy_fills_the_volume_of_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backup_mysqld.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(backup_mysqld.shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, free=300))
    with pytest.raises(BackupError, match="dataVolumeGib"):
        backup_mysqld.make("large", 251, tmp_path)
    assert not (tmp_path / "large").exists()
    assert backup_mysqld.make("small", 250, tmp_path).directory.is_dir()


class Session:
    """This member's mysqld, in which one statement runs until `ends` (seconds of the clock)."""

    def __init__(self, ends: float) -> None:
        self.ends, self.now = ends, 0.0
        self.ran: list[str] = []
        self.asked: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def row(self, statement: str, parameters: tuple[int, ...] = ()):
        if "gtid_executed" in statement:
            return {"executed": str(GTIDS)}
        self.asked.append(" ".join(statement.split()))
        assert parameters == (2,)
        return {"id": 77, "account": "app", "seconds": int(self.now) + 3} if self.now < self.ends else {}

    def rows(self, statement: str):
        return []

    def run(self, statement: str) -> None:
        self.ran.append(statement)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def mysqld(monkeypatch: pytest.MonkeyPatch):
    """Whose statement ends when is told."""

    def make(ends: float) -> Session:
        session = Session(ends)
        clock = SimpleNamespace(monotonic=lambda: session.now, sleep=session.sleep)
        monkeypatch.setattr(backup_drill, "time", clock)
        monkeypatch.setattr(backup_drill, "Connection", lambda seconds: session)
        return session

    return make


def test_no_lock_is_asked_for_behind_a_long_statement(mysqld):
    """What it flushed by then would stay closed to everybody, the group's applier too, until that statement ends."""
    session = mysqld(float("inf"))
    with pytest.raises(BackupError, match=r"connection 77 .* account app .* 63 s: .*tries again"):
        backup_drill.snapshot()
    assert session.ran == []


@pytest.mark.parametrize("ends, looks", [(0, 1), (5, 6), (60, 61)], ids=["none", "a short one", "a minute"])
def test_a_long_statement_is_waited_for(mysqld, ends: float, looks: int):
    session = mysqld(ends)
    assert backup_drill.snapshot() == (GTIDS, {})
    assert len(session.asked) == looks
    assert "FLUSH TABLES WITH READ LOCK" in session.ran


def test_only_statements_of_users_are_long(mysqld):
    session = mysqld(0)
    backup_drill.snapshot()
    (asked,) = session.asked
    for condition in (
        "name = 'thread/sql/one_connection'",
        "processlist_command IN ('Query', 'Execute')",
        "processlist_id <> CONNECTION_ID()",
    ):
        assert condition in asked
