"""Timelines: what a restore of the stack goes on from, also when the one before broke in the middle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.host.test_backup import UUID, backup, gtids, log
from userdata.host import backup_mysqld, backup_replace, backup_timeline
from userdata.host.backup_plan import Backup, Target
from userdata.host.backup_restore import RECORD
from userdata.host.backup_store import BackupError, Store
from userdata.host.backup_timeline import way
from userdata.host.binlog import ShippedLog


def put(store: Store, timeline: int, *things: Backup | ShippedLog) -> None:
    """As a server would, without the data."""
    for one in things:
        if isinstance(one, Backup):
            store.write(f"data/{timeline:04d}/backups/{one.server}/{one.id}/manifest.json", one.to_json())
        else:
            prefix = f"data/{timeline:04d}/binlogs/{one.server}/{one.uuid}/{one.name}"
            store.write(f"{prefix}.zst", {})
            entry = replace(one, stored=replace(one.stored, key=f"{prefix}.zst"))
            store.write(f"{prefix}.json", entry.to_json())


def legs(store: Store, target: Target, complete_until: int = 0) -> list[tuple[int, str, list[str], str]]:
    return [
        (one.timeline, one.plan.backup.id, [log.name[-2:] for log in one.plan.logs], str(one.target))
        for one in way(store, target, complete_until)
    ]


@pytest.fixture
def first(store: Store) -> Store:
    """Timeline 1: a backup up to 10, binary logs up to 40; transaction n was committed at n * 10."""
    put(store, 1, backup("old", "1-10", 100))
    put(store, 1, *(log("server-1", n, f"1-{n * 10}", f"{n * 10 + 1}-{n * 10 + 10}") for n in (1, 2, 3)))
    return store


def restored(store: Store, moment: int) -> int:
    """Begin the timeline that a restore to `moment` begins."""
    target = Target(moment=moment)
    holds = gtids(f"1-{moment // 10}")
    record = backup_timeline.record(way(store, target), holds, moment // 10 * 10)
    return backup_timeline.begin(store, "server-1", record)


def test_a_restore_that_broke_before_anybody_led_is_planned_from_the_timeline_before(first: Store):
    planned = legs(first, Target(moment=250))
    assert restored(first, 250) == 2
    assert legs(first, Target(moment=250)) == planned
    assert legs(first, Target(moment=350))[0][:3] == (1, "old", ["01", "02", "03"]), "also to another moment"
    assert restored(first, 250) == 3, "and once more"
    assert legs(first, Target(moment=250)) == planned


def test_a_timeline_of_an_earlier_version_with_nothing_in_it_counts_neither(first: Store):
    first.begin_timeline({"server": "server-1", "restored": "stack", "at": 1.0})
    assert legs(first, Target())[0][0] == 1


def test_a_timeline_of_an_earlier_version_with_logs_needs_a_backup_of_its_own(first: Store):
    first.begin_timeline({"server": "server-1", "restored": "stack", "at": 1.0})
    put(first, 2, log("server-1", 1, "1-25", "26-30"))
    with pytest.raises(BackupError, match="there is no backup in this timeline"):
        way(first, Target())


def test_what_was_undone_does_not_come_back_when_nobody_has_written_since(first: Store):
    restored(first, 250)
    backup_timeline.mark_led(first, "server-1")
    exactly = f"{UUID}:1-25"
    root = "the beginning of timeline 2"
    assert legs(first, Target()) == [(1, "old", ["01", "02"], exactly), (2, root, [], "the latest transaction")]


def test_without_a_backup_of_its_own_it_is_restored_from_the_timeline_before(first: Store):
    """GTIDs 26 and later are used again: those of the old history must not be taken."""
    restored(first, 250)
    put(first, 2, log("server-2", 1, "1-25", "26-50"))
    exactly, root = f"{UUID}:1-25", "the beginning of timeline 2"
    assert legs(first, Target()) == [(1, "old", ["01", "02"], exactly), (2, root, ["01"], "the latest transaction")]
    assert [one[:3] for one in legs(first, Target(moment=300))] == [(1, "old", ["01", "02"]), (2, root, ["01"])]
    assert [one[:3] for one in legs(first, Target(gtid=gtids("45")))] == [(1, "old", ["01", "02"]), (2, root, ["01"])]
    assert [one[:3] for one in legs(first, Target(exactly=gtids("1-50")))][1] == (2, root, ["01"])


def test_what_was_before_the_restore_is_reached_too(first: Store):
    restored(first, 250)
    put(first, 2, log("server-2", 1, "1-25", "26-50"), backup("own", "1-50", 600))
    assert legs(first, Target()) == [(2, "own", [], "the latest transaction")]
    assert [one[:3] for one in legs(first, Target(moment=180))] == [(1, "old", ["01"])]
    assert [one[:3] for one in legs(first, Target(gtid=gtids("15")))] == [(1, "old", ["01"])]


def test_a_restore_of_a_restore_goes_on_from_the_last_one(first: Store):
    restored(first, 250)
    put(first, 2, log("server-2", 1, "1-25", "26-50"))
    restored(first, 300)
    put(first, 3, log("server-2", 2, "1-30", "31-60"))
    found = legs(first, Target())
    assert [one[0] for one in found] == [1, 2, 3]
    assert [one[3] for one in found] == [f"{UUID}:1-25", f"{UUID}:1-30", "the latest transaction"]


def test_the_latest_commit_bounds_what_a_restore_without_a_moment_holds(first: Store):
    found = way(first, Target())
    assert backup_timeline.record(found, gtids("1-40"), 400) == {
        "timeline": 1, "gtids": f"{UUID}:1-40", "copied": 400,
    }  # fmt: skip
    assert backup_timeline.record(found, gtids("1-10"), 0)["copied"] == 100


class LostAnswer:
    """S3, whose answer to the first conditional write is lost: the client's retry finds the object there."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **words: Any) -> Any:
        self._client.put_object(**words)
        return self._client.put_object(**words)


def test_a_timeline_whose_answer_was_lost_is_ours(store: Store):
    lossy = Store("backups", LostAnswer(boto3.client("s3", region_name="us-east-1")))
    assert backup_timeline.begin(lossy, "server-1", {"timeline": 1, "gtids": "", "copied": 0}) == 2


def test_a_timeline_that_another_restore_began_is_not_ours(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.begin_timeline({"server": "server-2"})
    monkeypatch.setattr(store, "timeline", lambda: 1)
    with pytest.raises(BackupError, match="another restore began timeline 2"):
        store.begin_timeline({"server": "server-1"})


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A server with old data and a restored copy; `ran` are the commands."""
    monkeypatch.setattr(backup_mysqld, "DIRECTORY", tmp_path / "backup")
    monkeypatch.setattr(backup_replace, "DATA", tmp_path / "mysql")
    monkeypatch.setattr(backup_replace, "VIEW_PATH", tmp_path / "view.json")
    ran: list[list[str]] = []
    monkeypatch.setattr(backup_replace.subprocess, "run", lambda words, check: ran.append(words))
    (tmp_path / "mysql").mkdir()
    (tmp_path / "mysql" / "old").write_text("")
    copy = tmp_path / "backup" / "stack"
    (copy / "data").mkdir(parents=True)
    (copy / "data" / "mysql.ibd").write_text("")
    (copy / RECORD).write_text(json.dumps({"timeline": 1, "gtids": f"{UUID}:1-25", "copied": 250}))
    return SimpleNamespace(server="server-1", read_replica=None, data=tmp_path / "mysql", ran=ran)


def test_the_new_timeline_says_what_it_goes_on_from(first: Store, member: SimpleNamespace):
    done = backup_replace.install(first, "stack", member)
    assert done["timeline"] == 2
    written = first.read("timelines/0002.json")
    assert (written["timeline"], written["gtids"], written["copied"]) == (1, f"{UUID}:1-25", 250)
    assert [path.name for path in member.data.iterdir()] == ["mysql.ibd"]
    assert [path.name for path in Path(done["aside"]).iterdir()] == ["old"]


def test_when_the_timeline_cannot_be_begun_the_restore_can_be_repeated(
    first: Store, member: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: object) -> bool:
        raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")

    with monkeypatch.context() as broken:
        broken.setattr(first, "create", refused)
        with pytest.raises(ClientError):
            backup_replace.install(first, "stack", member)
    assert not list(member.data.iterdir()), "nothing is left there that would be shipped into the new timeline"
    assert legs(first, Target(moment=250))[0][0] == 1


def test_what_is_being_copied_is_stopped_with_the_member(first: Store, member: SimpleNamespace):
    backup_replace.discard(member)
    (stopped,) = member.ran
    assert stopped[:2] == ["systemctl", "stop"]
    assert {"tripod-backup.service", "tripod-drill.service", "tripod-job-now-*.service"} < set(stopped)
    assert stopped.index("tripod-backup.service") < stopped.index("mysql.service")


def test_a_read_replica_is_emptied_with_the_units_that_it_has(member: SimpleNamespace):
    member.read_replica = object()
    done = backup_replace.discard(member)
    assert not list(member.data.iterdir())
    assert [path.name for path in Path(done["aside"]).iterdir()] == ["old"]
    backup_replace.start(member)
    stopped, started = member.ran
    assert {"tripod-replica.service", "mysql.service"} < set(stopped)
    assert started == ["systemctl", "start", "mysql.service", "tripod-replica.service"]
    assert not {word for word in (*stopped, *started) if word.startswith(("tripod-group", "tripod-binlog"))}


def test_a_timeline_counts_once_a_group_was_led_on_it(first: Store, member: SimpleNamespace):
    backup_replace.install(first, "stack", member)
    assert legs(first, Target())[-1][0] == 1
    backup_replace.lead(first, member)
    assert legs(first, Target())[-1][0] == 2
    assert member.ran[-1][-2:] == ["lead", "--accept-loss"]
