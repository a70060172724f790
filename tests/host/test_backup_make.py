"""Making a backup: on whom, of which history, and what is left of one that is stopped."""

from __future__ import annotations

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.host.test_backup import gtids
from userdata.host import backup, backup_command, backup_mysqld
from userdata.host.backup_store import BackupError, Store, Stored
from userdata.host.database_state import DatabaseState

HERE = SimpleNamespace(server="server-2")
ONLINE = {"server-1": "ONLINE", "server-2": "ONLINE", "server-3": "ONLINE"}


class Scratch:
    """A clone that starts and holds transactions 1 to 5."""

    def __init__(self) -> None:
        self.data, self.removed = Path("/nowhere"), False

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def executed(self) -> Any:
        return gtids("1-5")

    def connect(self, seconds: float) -> Any:
        return nullcontext(SimpleNamespace(row=lambda _: {"version": "8.4.0"}))

    def remove(self) -> None:
        self.removed = True


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """This server's mysqld: `state` is what it says of itself, `clone` what happens while it is copied."""
    state = DatabaseState("server-2", 2, member_state="ONLINE", primary="server-1", members=ONLINE)
    found = SimpleNamespace(state=state, scratch=Scratch(), clone=lambda: None, sent=[])
    monkeypatch.setattr(backup, "Connection", lambda seconds: nullcontext())
    monkeypatch.setattr(backup, "observe", lambda *_: found.state)
    monkeypatch.setattr(backup, "_clone", lambda *_: found.clone())

    def send(store: Store, key: str, scratch: Scratch, size: int) -> Stored:
        found.sent.append(key)
        return Stored(key, 1, "0" * 64, ())

    monkeypatch.setattr(backup, "_send", send)
    monkeypatch.setattr(backup_mysqld, "make", lambda *_: found.scratch)
    return found


def test_a_member_of_the_group_is_copied(store: Store, member: SimpleNamespace):
    made = backup.make(store, HERE, lambda _: None)
    assert backup.find(store, 1) == [made]
    assert member.scratch.removed


@pytest.mark.parametrize(
    "state",
    [
        DatabaseState("server-2", 2),
        DatabaseState("server-2", 2, member_state="ERROR"),
        DatabaseState("server-2", 2, member_state="RECOVERING", members={**ONLINE, "server-2": "RECOVERING"}),
        DatabaseState(
            "server-2", 2, member_state="ONLINE", members=dict.fromkeys(ONLINE, "UNREACHABLE") | {"server-2": "ONLINE"}
        ),
    ],
    ids=["OFFLINE", "ERROR", "RECOVERING", "without a majority"],
)
def test_what_is_outside_the_group_is_not_copied(store: Store, member: SimpleNamespace, state: DatabaseState):
    """It may hold what the stack's database never had, and the newest backup is where every restore begins."""
    member.state = state
    with pytest.raises(BackupError, match=rf"server-2 is {state.member_state} and reaches no majority.*--server"):
        backup.make(store, HERE, lambda _: None)
    assert member.sent == []


@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_a_backup_belongs_to_the_history_that_was_copied(store: Store, member: SimpleNamespace, when: str):
    """A restore of the stack may begin another one at any time."""
    if when == "before":
        store.begin_timeline({})
    elif when == "while":
        member.clone = lambda: store.begin_timeline({})
    else:
        member.scratch.stop = lambda: store.begin_timeline({})
    if when == "before":
        assert backup.make(store, HERE, lambda _: None)
        assert len(backup.find(store, 2)) == 1
        return
    with pytest.raises(BackupError, match="the stack was restored meanwhile"):
        backup.make(store, HERE, lambda _: None)
    assert backup.find(store, 1) == backup.find(store, 2) == []
    assert member.scratch.removed


@pytest.fixture
def stoppable(monkeypatch: pytest.MonkeyPatch, store: Store):
    """`host.backup_command` on this machine; what SIGTERM does is as before afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    identity = SimpleNamespace(stack="dev", region="us-east-1", bucket="tripod-dev-1-us-east-1")
    monkeypatch.setattr(backup_command.Identity, "load", lambda _: identity)
    monkeypatch.setattr(backup_command.Database, "load", lambda: HERE)
    monkeypatch.setattr(backup_command, "Store", lambda *_: store)
    yield
    signal.signal(signal.SIGTERM, before)


def test_one_that_is_stopped_takes_its_copy_with_it_and_says_so(
    stoppable: None, member: SimpleNamespace, tmp_path: Path
):
    member.clone = lambda: os.kill(os.getpid(), signal.SIGTERM)
    file = tmp_path / "job.json"
    assert backup_command.main(["now", "--job", str(file)]) == 0
    assert member.scratch.removed
    said = json.loads(file.read_text())
    assert said["done"] is True
    assert "it was stopped" in said["error"]


def test_a_restored_copy_has_the_passwords_of_today_and_the_history_that_was_asked_for(
    store: Store, member: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    copy, told = member.scratch, []
    copy.directory = Path("/copy")
    restored = SimpleNamespace(text="", gtids=gtids("1-5"), seconds=1.0, size=1, last=None)
    monkeypatch.setattr(backup_command.backup_restore, "restore", lambda *_: (copy, restored))
    monkeypatch.setattr(backup_command.accounts, "take_over", lambda _, database: told.append(database))
    options = backup_command._parser().parse_args(["restore", "--name", "look"])
    done = backup_command.run(options, store, HERE, backup_command.Job(None))
    assert (told, done["gtids"], copy.removed) == ([HERE], str(gtids("1-5")), False)
    restored.gtids = gtids("1-4")
    with pytest.raises(BackupError, match=r"the copy holds .*:1-5 since"):
        backup_command.run(options, store, HERE, backup_command.Job(None))
    assert copy.removed


def test_a_backup_asks_for_room_for_a_clone(member: SimpleNamespace, store: Store, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(backup_mysqld, "clone_size", lambda data: len(str(data)))
    monkeypatch.setattr(backup_mysqld, "make", lambda *words: asked.append(words) or member.scratch)
    backup.make(store, HERE, lambda _: None)
    assert [needed for _, needed in asked] == [len("/var/lib/mysql")]
