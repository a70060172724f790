"""Which binary logs a restore asks the bucket for, of the many that are there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest

from tests.host.test_backup import backup, gtids, log
from tests.host.test_backup_timeline import put
from userdata.host.backup_plan import Target
from userdata.host.backup_store import BackupError, Store
from userdata.host.backup_timeline import LAG_SECONDS, way
from userdata.host.binlog_index import BinlogIndex
from userdata.host.gtid import GtidSet

DAY = 24 * 3600.0
OWN = "00000002-6f0e-4f57-9d1b-7a7b5f6d3c11"


class Aged(Store):
    """A bucket whose objects were written when `ages` says (by a part of the key); `read_keys` were read."""

    def __init__(self) -> None:
        super().__init__("backups", boto3.client("s3", region_name="us-east-1"))
        self.ages: dict[str, float] = {}
        self.read_keys: list[str] = []

    def listing(self, prefix: str) -> Iterator[tuple[str, float]]:
        for key, at in super().listing(prefix):
            yield key, next((at for part, at in self.ages.items() if part in key), at)

    def read(self, key: str) -> dict[str, object]:
        self.read_keys.append(key)
        return super().read(key)

    @property
    def logs_read(self) -> list[str]:
        names = sorted(key.rpartition("/")[2] for key in self.read_keys if "/binlogs/" in key)
        self.read_keys.clear()
        return [name[-7:-5] for name in names]


@pytest.fixture
def aged(store: Store) -> Aged:
    """A log each day of ten transactions, a backup each third day. Transaction n is committed at n / 10 days."""
    found = Aged()
    day = int(DAY * 1e6)
    for n in range(1, 13):
        first, last = 10 * n - 9, 10 * n
        one = replace(log("server-1", n, f"1-{first - 1}" if n > 1 else "", f"{first}-{last}"))
        put(found, 1, replace(one, first=(n - 1) * day, last=n * day))
        found.ages[f"binlog.{n:06d}"] = n * DAY
        if n % 3 == 0:
            put(found, 1, backup(f"day-{n}", f"1-{last}", n * day))
    return found


def test_a_restore_reads_the_logs_since_its_backup_and_the_newest(aged: Aged):
    found = way(aged, Target(moment=int(7.5 * DAY * 1e6)))[0].plan
    assert (found.backup.id, [one.name[-2:] for one in found.logs]) == ("day-6", ["07", "08"])
    assert aged.logs_read == ["06", "07", "08", "09", "10", "11", "12"]
    found = way(aged, Target())[0].plan
    assert (found.backup.id, found.logs) == ("day-12", ())
    assert aged.logs_read == ["12"]


def test_what_was_shipped_shortly_before_the_backup_is_read(aged: Aged):
    """The backup's server may not have applied it yet."""
    aged.ages["binlog.000006"] = 6 * DAY - LAG_SECONDS
    way(aged, Target(moment=int(7.5 * DAY * 1e6)))
    assert "06" in aged.logs_read
    aged.ages["binlog.000006"] = 6 * DAY - LAG_SECONDS - 1
    way(aged, Target(moment=int(7.5 * DAY * 1e6)))
    assert "06" not in aged.logs_read


def test_a_log_that_is_older_than_it_should_be_is_found_all_the_same(aged: Aged):
    """The plan lacks it, and is made again from all."""
    aged.ages["binlog.000008"] = 0.0
    found = way(aged, Target(gtid=gtids("85")))[0].plan
    assert [one.name[-2:] for one in found.logs] == ["07", "08", "09"]


def test_a_backup_that_lacks_what_was_shipped_long_before_it_gets_all_logs(aged: Aged):
    """Its server was late by more than a day: no log after it says how far, but what each goes on from."""
    late = backup("late", "1-40", int(6.5 * DAY * 1e6))
    put(aged, 1, late)
    found = way(aged, Target(moment=int(7.5 * DAY * 1e6)))[0].plan
    assert (found.backup.id, [one.name[-2:] for one in found.logs]) == ("late", ["05", "06", "07", "08"])
    for number in range(1, 12):
        aged.ages[f"binlog.{number:06d}"] = 0.0
    found = way(aged, Target(moment=int(7.5 * DAY * 1e6)))[0].plan
    assert [one.name[-2:] for one in found.logs] == ["05", "06", "07", "08"], "whatever S3 says of their time"


def test_a_refusal_rests_on_all_logs(aged: Aged):
    with pytest.raises(BackupError, match="999"):
        way(aged, Target(gtid=gtids("999")))
    assert set(aged.logs_read) == {f"{n:02d}" for n in range(1, 13)}


def test_a_moment_before_the_oldest_backup_is_refused_from_the_newest_log_alone(aged: Aged):
    with pytest.raises(BackupError, match="before the oldest backup"):
        way(aged, Target(moment=int(2.5 * DAY * 1e6)))
    assert aged.logs_read == ["12"]


def test_a_write_outside_the_group_is_known_from_the_newest_log_of_its_server(aged: Aged):
    """It is older than the backup that holds it, and that backup is not used."""
    theirs = GtidSet.parse(f"{OWN}:1-3")
    own = log("server-2", 1, "1-10", "11-15")
    put(aged, 1, replace(own, gtids=own.gtids | theirs, first=0, last=int(1.5 * DAY * 1e6)))
    aged.ages["server-2/"] = 1.5 * DAY
    bad = backup("bad", "1-120", int(12.5 * DAY * 1e6))
    put(aged, 1, replace(bad, gtids=bad.gtids | theirs))
    found = way(aged, Target())[0].plan
    assert found.backup.id == "day-12"
    assert found.outside == theirs


def test_the_newest_log_is_that_of_each_data_directory(aged: Aged):
    """A server that was made anew begins at 1 again, under another UUID."""
    anew = log("server-1", 1, "1-115", "116-125")
    put(aged, 1, replace(anew, uuid=OWN))
    newest = BinlogIndex(aged, 1, since=math.inf)
    assert sorted((one.uuid[:8], one.name[-2:]) for one in newest.logs()) == [("00000001", "12"), (OWN[:8], "01")]
    assert all(one.stored.key in newest.present for one in newest.each())
    whole = BinlogIndex(aged, 1)
    assert newest.count == whole.count == len(whole.logs()) == 13


def test_a_member_that_was_cloned_since_the_backup_brings_no_older_logs(aged: Aged):
    """Its first log goes on from more than the backup holds: from what the others' logs have."""
    anew = log("server-2", 1, "1-95", "96-100")
    put(aged, 1, replace(anew, first=int(9.5 * DAY * 1e6), last=int(10 * DAY * 1e6)))
    aged.ages["server-2/"] = 10 * DAY
    for moment, wanted in ((7.5, ["07", "08"]), (9.9, ["10"])):
        found = way(aged, Target(moment=int(moment * DAY * 1e6)))[0].plan
        assert [one.name[-2:] for one in found.logs] == wanted
        assert "02" not in aged.logs_read


def test_a_log_whose_upload_took_long_is_there_with_its_index(aged: Aged):
    aged.ages = {"binlog.000007.zst": 6 * DAY - LAG_SECONDS - 100, **aged.ages}
    aged.ages["binlog.000007"] = 6 * DAY
    way(aged, Target(moment=int(7.5 * DAY * 1e6)))
    assert "02" not in aged.logs_read
