"""Backups: the choice of what to restore, and streams with digests."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from topology import names
from userdata.host import backup_restore, binlog
from userdata.host.backup_plan import Backup, Plan, Target, plan
from userdata.host.backup_restore import wanted
from userdata.host.backup_store import BackupError, Store, Stored, bucket_of
from userdata.host.binlog import ShippedLog, Take, Transaction
from userdata.host.gtid import GtidSet
from userdata.host.identity import Identity

UUID = "6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11"
SERVERS = {f"server-{number}": f"0000000{number}-6f0e-4f57-9d1b-7a7b5f6d3c11" for number in (1, 2)}


def gtids(text: str) -> GtidSet:
    return GtidSet.parse(f"{UUID}:{text}") if text else GtidSet()


def stored(key: str) -> Stored:
    return Stored(key, 1, "0" * 64, ("0" * 64,))


def backup(name: str, holds: str, copied: int) -> Backup:
    return Backup(name, "server-2", "8.4.0", gtids(holds), copied, stored(f"{name}.tar.zst"), 1)


def log(server: str, number: int, previous: str, own: str) -> ShippedLog:
    """Transaction n was committed at n * 10."""
    first, _, last = own.partition("-")
    times = int(first) * 10, int(last or first) * 10
    name = f"binlog.{number:06d}"
    return ShippedLog(
        server, SERVERS[server], name, gtids(previous), gtids(own), *times, stored(f"{server}/{name}.zst")
    )


BACKUPS = [backup("old", "1-10", 100), backup("new", "1-30", 300)]
LOGS = [log("server-1", n, f"1-{n * 10}", f"{n * 10 + 1}-{n * 10 + 10}") for n in range(1, 6)]
ALL = {one.stored.key for one in LOGS}


def included(file: dict[int, int], target: Target) -> list[int]:
    """Those of a file's transactions (number to time, in their order) that the target wants."""
    wants = wanted(gtids(":".join(map(str, file))), target)
    return [number for number, at in file.items() if wants(Transaction(f"{UUID}:{number}", at))]


def chosen(target: Target, logs=LOGS, present=ALL) -> tuple[str, list[int]]:
    found = plan(BACKUPS, logs, present, target)
    return found.backup.id, [int(one.name[-6:]) for one in found.logs]


@pytest.mark.parametrize(
    "target, expected",
    [
        (Target(), ("new", [3, 4, 5])),
        (Target(moment=299), ("old", [1, 2])),
        (Target(moment=355), ("new", [3])),
        (Target(gtid=gtids("45")), ("new", [3, 4])),
        (Target(gtid=gtids("25")), ("old", [1, 2])),
    ],
    ids=["latest", "before the newest backup", "after it", "transaction", "transaction that the newest backup holds"],
)
def test_the_newest_backup_before_the_target_and_the_logs_up_to_it(target: Target, expected):
    assert chosen(target) == expected


def test_a_missing_object_is_a_gap_that_names_it():
    with pytest.raises(BackupError) as error:
        chosen(Target(), present=ALL - {"server-1/binlog.000004.zst"})
    assert "server-1/binlog.000004.zst" in str(error.value)
    assert f"{UUID}:41-60" in str(error.value)


def test_a_missing_index_is_a_gap_that_names_the_transactions():
    with pytest.raises(BackupError, match=f"{UUID}:41-60"):
        chosen(Target(), logs=[one for one in LOGS if one.name != "binlog.000004"])


def test_a_gap_after_the_target_does_not_matter():
    assert chosen(Target(moment=399), present=ALL - {"server-1/binlog.000004.zst"}) == ("new", [3])


def test_another_members_log_closes_the_gap():
    other = log("server-2", 9, "1-33", "34-52")
    found = plan(BACKUPS, [*LOGS, other], ALL - {"server-1/binlog.000004.zst"} | {other.stored.key}, Target())
    assert [(one.server, one.name[-1]) for one in found.logs] == [
        ("server-1", "3"),
        ("server-2", "9"),
        ("server-1", "5"),
    ]


def test_before_the_oldest_backup_is_refused():
    with pytest.raises(BackupError, match="before the oldest backup"):
        chosen(Target(moment=99))
    with pytest.raises(BackupError, match="there is no backup"):
        plan([], LOGS, ALL, Target())


def test_a_moment_that_the_bucket_does_not_reach_is_refused():
    """The last log ends at 600. Nobody may be told that nothing was written after it unless a primary said so."""
    assert chosen(Target(moment=600)) == ("new", [3, 4, 5])
    with pytest.raises(BackupError, match="--latest"):
        chosen(Target(moment=601))
    found = plan(BACKUPS, LOGS, ALL, Target(moment=700), complete_until=700)
    assert len(found.logs) == 3
    with pytest.raises(BackupError, match="--latest"):
        plan(BACKUPS, LOGS, ALL, Target(moment=701), complete_until=700)


def test_an_exact_set_takes_a_backup_within_it_and_what_lacks():
    assert chosen(Target(exactly=gtids("1-45"))) == ("new", [3, 4])
    assert chosen(Target(exactly=gtids("1-30"))) == ("new", [])
    assert chosen(Target(exactly=gtids("1-29"))) == ("old", [1, 2]), "the new backup holds more than that"
    assert included({31: 1, 33: 2, 32: 3}, Target(exactly=gtids("1-31:33"))) == [31, 33]
    with pytest.raises(BackupError, match=f"{UUID}:61-62"):
        chosen(Target(exactly=gtids("1-62")))
    with pytest.raises(BackupError, match="binlog"):
        chosen(Target(exactly=gtids("1-45")), present=ALL - {"server-1/binlog.000004.zst"})


def test_a_transaction_that_nobody_has_is_refused():
    with pytest.raises(BackupError, match=f"{UUID}:99"):
        chosen(Target(gtid=gtids("99")))


OUTSIDE = SERVERS["server-2"]


def test_what_a_member_wrote_outside_its_group_is_left_out():
    """Its log has it under the server's own UUID; what the server wrote before and after that is the group's."""
    mixed = log("server-2", 1, "1-30", "31-40")
    mixed = replace(mixed, gtids=mixed.gtids | GtidSet.parse(f"{OUTSIDE}:1-3"))
    after = log("server-2", 2, "1-40", "41-60")
    after = replace(after, previous=after.previous | GtidSet.parse(f"{OUTSIDE}:1-3"))
    present = {mixed.stored.key, after.stored.key}
    found = plan(BACKUPS, [mixed, after], present, Target())
    assert str(found.outside) == f"{OUTSIDE}:1-3"
    assert [str(one.gtids) for one in found.logs] == [f"{UUID}:31-40", f"{UUID}:41-60"]
    with pytest.raises(BackupError, match=f"{OUTSIDE}:2 was written outside the group"):
        plan(BACKUPS, [mixed, after], present, Target(gtid=GtidSet.parse(f"{OUTSIDE}:2")))
    alone = replace(mixed, gtids=GtidSet.parse(f"{OUTSIDE}:1-3"))
    assert plan(BACKUPS, [alone], {alone.stored.key}, Target()).logs == ()
    assert plan(BACKUPS, [alone], set(), Target()).logs == (), "nothing is lost with such an object"


@pytest.mark.parametrize("known_by", ["another server's log", "before another server's log", "a backup"])
def test_what_others_had_too_is_no_write_outside_the_group(known_by: str):
    """A group that began with a server's own transactions holds them everywhere."""
    theirs = GtidSet.parse(f"{OUTSIDE}:1-3")
    own = log("server-2", 1, "1-30", "31-40")
    own = replace(own, gtids=own.gtids | theirs)
    other = log("server-1", 1, "1-30", "31-40")
    backups = list(BACKUPS)
    if known_by == "a backup":
        backups = [replace(one, gtids=one.gtids | theirs) for one in backups]
    elif known_by == "another server's log":
        other = replace(other, gtids=other.gtids | theirs)
    else:
        other = replace(other, previous=other.previous | theirs)
    found = plan(backups, [own, other], {own.stored.key}, Target())
    assert not found.outside
    assert [one.server for one in found.logs] == ["server-2"]


@pytest.mark.parametrize("shipped", ["its log is there", "its log is lost"])
def test_a_backup_with_what_was_written_outside_the_group_is_not_used(shipped: str):
    """Made on a member that was refused, it would be the newest, and every restore would begin from it."""
    theirs = GtidSet.parse(f"{OUTSIDE}:1-3")
    bad = backup("bad", "1-40", 400)
    bad = replace(bad, gtids=bad.gtids | theirs)
    own = log("server-2", 1, "1-30", "31-40")
    own = replace(own, gtids=own.gtids | theirs)
    present = ALL | ({own.stored.key} if shipped == "its log is there" else set())
    found = plan([*BACKUPS, bad], [*LOGS, own], present, Target())
    assert found.backup.id == "new"
    assert found.outside == theirs
    assert not any(one.gtids & theirs for one in found.logs)
    worse = replace(bad, id="worse", gtids=bad.gtids - theirs | GtidSet.parse(f"{OUTSIDE}:3-4"))
    with pytest.raises(BackupError, match=f"every backup holds something of {OUTSIDE}:1-2:4"):
        plan([bad, worse], [*LOGS, replace(own, gtids=own.gtids | worse.gtids)], present, Target())


def reached(holds: GtidSet, logs: list[ShippedLog]) -> GtidSet:
    """All that can be applied, found without any order."""
    while more := [one for one in logs if one.previous <= holds and one.gtids - holds]:
        holds |= more[0].gtids
    return holds


@given(st.sets(st.integers(0, 11)), st.integers(100, 620))
def test_a_plan_reaches_the_moment_or_is_refused_for_a_reason(lost: set[int], moment: int):
    """Two members with files of different lengths; any objects may be lost."""
    logs = [*LOGS, *(log("server-2", n, f"1-{n * 7 + 3}", f"{n * 7 + 4}-{n * 7 + 10}") for n in range(1, 8))]
    present = {one.stored.key for number, one in enumerate(logs) if number not in lost}
    goal = gtids(f"1-{max(10, min(60, moment // 10))}")
    try:
        found = plan(BACKUPS, logs, present, Target(moment=moment), complete_until=620)
    except BackupError:
        wanted = [one for one in logs if one.first <= moment]
        there = reached(BACKUPS[moment >= 300].gtids, [one for one in wanted if one.stored.key in present])
        # When a transaction of a log was committed is known only of the first and the last.
        assert any(not one.gtids <= there for one in wanted), "it was refused although nothing lacks"
        return
    holds = found.backup.gtids
    for one in found.logs:
        assert one.previous <= holds, "applied before what came before it"
        assert one.stored.key in present
        assert one.gtids - holds, "it adds nothing"
        holds |= one.gtids
    assert goal <= holds


def test_of_overlapping_logs_the_fewest_are_fetched():
    short = [log("server-1", n, f"1-{30 + 20 * n}", f"{31 + 20 * n}-{50 + 20 * n}") for n in range(4)]
    long = [log("server-2", n, f"1-{30 + 30 * n}", f"{31 + 30 * n}-{60 + 30 * n}") for n in range(3)]
    found = plan(BACKUPS, [*short, *long], {one.stored.key for one in (*short, *long)}, Target())
    assert [one.server for one in found.logs] == ["server-2"] * 3


def test_a_sequence_that_leads_nowhere_does_not_hide_a_later_one_of_the_same_server():
    """What the first file goes on from is lost; then the server was cloned, and went on from what the group had."""
    nowhere = log("server-2", 1, "1-20:200-210", "211-220")
    nowhere = replace(nowhere, gtids=gtids("211-220"), previous=gtids("1-5:200-205"))
    later = log("server-2", 2, "1-30", "31-40")
    with pytest.raises(BackupError, match="200-205:211-220"):
        plan(BACKUPS, [nowhere, later], {nowhere.stored.key, later.stored.key}, Target())
    found = plan(BACKUPS, [nowhere, later], {nowhere.stored.key, later.stored.key}, Target(gtid=gtids("35")))
    assert [one.name[-1] for one in found.logs] == ["2"]


def test_only_what_was_committed_by_then_is_wanted():
    file = {3: 30, 4: 50, 5: 40}
    assert included(file, Target(moment=40)) == [3, 5]
    assert included(file, Target(gtid=gtids("4"))) == [3, 4]
    assert included(file, Target(gtid=gtids("9"))) == [3, 4, 5], "it is in a later file"
    assert included(file, Target()) == [3, 4, 5]


def test_what_is_applied_is_what_the_files_have_and_the_target_wants(monkeypatch: pytest.MonkeyPatch):
    """Files of two members overlap, one has a write of its own, and the backup holds the first transactions."""
    files = {"a": [(31, 310), (29, 290), (33, 305)], "b": [(33, 305), (32, 320), (34, 340)]}
    own = Transaction(f"{OUTSIDE}:1", 300)

    def scan(path: Path, take: Take) -> GtidSet:
        for number, at in files[path.name]:
            take(Transaction(f"{UUID}:{number}", at))
        take(own)
        return GtidSet()

    ran: list[GtidSet] = []
    monkeypatch.setattr(binlog, "scan", scan)
    monkeypatch.setattr(backup_restore, "_run", lambda files, wants, scratch: ran.append(wants))
    holds = iter((gtids("1-30"), gtids("1-33")))
    scratch = SimpleNamespace(executed=lambda: next(holds))
    logs = (log("server-1", 1, "1-28", "29-33"), log("server-2", 1, "1-31", "32-34"))
    made = Plan(BACKUPS[1], logs, GtidSet.parse(own.gtid))
    last = backup_restore._apply(made, [Path("a"), Path("b")], scratch, Target(moment=320), lambda _: None)
    assert ran == [gtids("31-33")]
    assert last == Transaction(f"{UUID}:32", 320)


def test_the_bucket_has_one_name_everywhere():
    identity = Identity("dev", "server-1", names.bucket("dev", "123456789012", "us-east-1"), "us-east-1")
    assert bucket_of(identity) == names.backup_bucket("dev", "123456789012", "us-east-1")


@pytest.fixture
def store():
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="backups")
        # S3 takes no part below 5 MiB but the last.
        yield Store("backups", client, part_bytes=5 * 1024 * 1024)


def whole() -> None:
    """The stream did not end early."""


@pytest.mark.parametrize("size", [0, 1, 5 * 1024 * 1024, 11 * 1024 * 1024])
def test_a_stream_comes_back_as_it_was(store: Store, size: int):
    content = bytes(size % 251 for _ in range(1)) * size
    sent = store.upload("one", io.BytesIO(content), whole)
    assert sent.size == size
    assert b"".join(store.download(sent)) == content
    assert Stored.from_json(sent.to_json()) == sent


def test_a_changed_object_is_refused(store: Store):
    sent = store.upload("one", io.BytesIO(b"good"), whole)
    store.upload("one", io.BytesIO(b"evil"), whole)
    with pytest.raises(BackupError, match="corrupt"):
        list(store.download(sent))
    with pytest.raises(BackupError, match="missing"):
        list(store.download(replace(sent, key="gone")))


def test_a_stream_that_breaks_leaves_nothing(store: Store):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("pipe")

    with pytest.raises(OSError, match="pipe"):
        store.upload("one", Broken(), whole)
    assert store.keys("") == []


def test_a_stream_that_ends_early_leaves_nothing(store: Store):
    def failed() -> None:
        raise BackupError("tar ended with 2")

    with pytest.raises(BackupError, match="tar ended"):
        store.upload("one", io.BytesIO(b"half of it"), failed)
    assert store.keys("") == []


def test_one_server_claims_and_one_restore_begins_a_timeline(store: Store):
    assert store.create("data/claims/x.json", {"server": "server-1"})
    assert not store.create("data/claims/x.json", {"server": "server-2"})
    assert store.timeline() == 1
    assert store.begin_timeline({}) == 2
    assert store.timeline() == 2
