"""Shipping a binary log: from mysqlbinlog and zstd (stand-ins here) to the bucket, in little memory."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tracemalloc
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from userdata.host import binlog_ship
from userdata.host.backup_store import BackupError, Store
from userdata.host.binlog import Content
from userdata.host.binlog_ship import Shipper
from userdata.host.gtid import GtidSet

UUID = "6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11"
SERVER = "8f97b61a-e7cc-11f1-b818-be7a05740ef5"
MIB = 1 << 20
FILE_BYTES = 64 * MIB
TRANSACTIONS = 50_000

# What mysqlbinlog says of the file: as many transactions, and one statement of 32 MiB in one line.
MYSQLBINLOG = f"""#!{sys.executable}
head = "#261124 10:00:00 server id 1  end_log_pos 1 CRC32 0x1 \\tGTID\\tlast_committed=0"
for number in range(1, {TRANSACTIONS} + 1):
    at = 1795514400000000 + number
    print(f"{{head}}\\toriginal_committed_timestamp={{at}}\\timmediate_commit_timestamp={{at}}\\ttransaction_length=9")
    print(f"SET @@SESSION.GTID_NEXT= '{UUID}:{{number}}'/*!*/;")
print("COMMENT '" + "x" * {32 * MIB} + "'")
"""
ZSTD = '#!/bin/sh\nexec cat "$4"\n'


class Bucket:
    """An S3 client that keeps the small objects, and of large ones the size."""

    def __init__(self) -> None:
        self.received = 0
        self.objects: dict[str, dict[str, Any]] = {}

    def get_paginator(self, _: str) -> Bucket:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return []

    def create_multipart_upload(self, **_: str) -> dict[str, str]:
        return {"UploadId": "1"}

    def upload_part(self, **words: Any) -> dict[str, str]:
        self.received += len(words["Body"])
        return {"ETag": "x"}

    def complete_multipart_upload(self, **_: Any) -> None: ...

    def put_object(self, **words: Any) -> None:
        self.objects[words["Key"]] = json.loads(words["Body"])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with one large binary log, and programs that read it."""
    for name, text in (("mysqlbinlog", MYSQLBINLOG), ("zstd", ZSTD)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    data = tmp_path / "data"
    data.mkdir()
    (data / "binlog.index").write_text("./binlog.000001\n")
    (data / "auto.cnf").write_text(f"[auto]\nserver-uuid={SERVER}\n")
    with (data / "binlog.000001").open("wb") as file:
        file.truncate(FILE_BYTES)
    return data


def test_memory_does_not_follow_the_size_of_the_file(data: Path) -> None:
    bucket = Bucket()
    shipper = Shipper(Store("backups", bucket, part_bytes=MIB), "server-1", data, data / "shipped.json")
    tracemalloc.start()
    try:
        assert shipper.look_at_files() == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bucket.received == FILE_BYTES
    digest = hashlib.sha256(bytes(FILE_BYTES)).hexdigest()
    ((key, index),) = bucket.objects.items()
    assert key == f"data/0001/binlogs/server-1/{SERVER}/binlog.000001-{digest[:12]}.json"
    assert index["gtids"] == f"{UUID}:1-{TRANSACTIONS}"
    assert (index["first"], index["last"]) == (1795514400000001, 1795514400000000 + TRANSACTIONS)
    # Two parts of 1 MiB, two pieces of a line, and what the standard library imports meanwhile.
    assert peak < 12 * MIB


class Mysqld:
    """What a shipper asks of a running mysqld: `logs` are the transactions of each file, the last is written to."""

    def __init__(self, data: Path, logs: dict[str, int]) -> None:
        self.data, self.logs = data, logs

    def __call__(self, **_: float) -> Mysqld:
        (self.data / "binlog.index").write_text("".join(f"./{name}\n" for name in self.logs))
        for name in self.logs:
            (self.data / name).open("ab").close()
        return self

    def __enter__(self) -> Mysqld:
        return self

    def __exit__(self, *_: object) -> None: ...

    def content(self, path: Path) -> Content:
        before = sum(count for name, count in self.logs.items() if name < path.name)
        return Content(self.held(before), self.held(before + self.logs[path.name]) - self.held(before), 1, 2)

    def held(self, count: int) -> GtidSet:
        return GtidSet.parse(f"{UUID}:1-{count}" if count else "")

    def run(self, statement: str, parameters: tuple[str, ...] = ()) -> None:
        if statement.startswith("PURGE BINARY LOGS TO"):
            (first,) = parameters
            self.logs = {name: count for name, count in self.logs.items() if name >= first}
            return
        assert statement == "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS"
        self.logs[f"binlog.{len(self.logs) + 1:06d}"] = 0
        self()

    def row(self, statement: str) -> dict[str, str]:
        return {"file": list(self.logs)[-1]} if "STATUS" in statement else {"uuid": SERVER}

    def rows(self, statement: str, parameters: tuple[str, ...]) -> list[dict[str, str]]:
        (name,) = parameters
        before = str(self.content(self.data / name).previous)
        events = [{"event_type": "Format_desc", "info": ""}, {"event_type": "Previous_gtids", "info": before}]
        return events + [{"event_type": "Gtid", "info": ""}] * self.logs[name]


def test_what_is_closed_is_sent_once_and_what_is_written_to_stays(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mysqld = Mysqld(data, {"binlog.000001": 3, "binlog.000002": 0, "binlog.000003": 2, "binlog.000004": 0})
    monkeypatch.setattr(binlog_ship, "Connection", mysqld)
    monkeypatch.setattr(binlog_ship, "read", mysqld.content)
    bucket = Bucket()
    shipper = Shipper(Store("backups", bucket), "server-1", data, data / "shipped.json")
    assert shipper.look() == 3, "nothing was written to the last one, so it is not closed"
    assert sorted(index["gtids"] for index in bucket.objects.values()) == [f"{UUID}:1-3", f"{UUID}:4-5"]
    assert shipper.look() == 0
    mysqld.logs["binlog.000004"] = 1
    assert shipper.look(at_once=True) == 1
    assert list(mysqld.logs)[-1] == "binlog.000005"
    del mysqld.logs["binlog.000001"]  # purged
    mysqld()
    assert shipper.look_at_files() == 1, "with mysqld down the last one is closed, too"
    assert set(json.loads((data / "shipped.json").read_text())) == set(mysqld.logs)


def test_a_file_of_which_mysql_says_something_else_is_not_sent(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mysqld = Mysqld(data, {"binlog.000001": 3, "binlog.000002": 0})
    monkeypatch.setattr(binlog_ship, "Connection", mysqld)
    monkeypatch.setattr(binlog_ship, "read", lambda _: Content(GtidSet(), mysqld.held(2), 1, 2))
    bucket = Bucket()
    with pytest.raises(BackupError, match=f"{UUID}:1-2, but MySQL says {UUID}:1-3"):
        Shipper(Store("backups", bucket), "server-1", data, data / "shipped.json").look()
    assert not bucket.objects


def unreadable(mysqld: Mysqld, name: str, path: Path) -> Content:
    """What is read of a file when the one called `name` cannot be."""
    if path.name == name:
        raise BackupError("mysqlbinlog ended with 1")
    return mysqld.content(path)


def test_one_that_cannot_be_read_keeps_no_other_back(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mysqld = Mysqld(data, {"binlog.000001": 3, "binlog.000002": 2, "binlog.000003": 0})
    monkeypatch.setattr(binlog_ship, "Connection", mysqld)
    monkeypatch.setattr(binlog_ship, "read", partial(unreadable, mysqld, "binlog.000001"))
    bucket = Bucket()
    shipper = Shipper(Store("backups", bucket), "server-1", data, data / "shipped.json")
    for _ in range(2):
        with pytest.raises(BackupError, match="mysqlbinlog ended"):
            shipper.look()
        assert [index["gtids"] for index in bucket.objects.values()] == [f"{UUID}:4-5"]
    monkeypatch.setattr(binlog_ship, "read", mysqld.content)
    assert shipper.look() == 1


@pytest.mark.parametrize(
    "free, left",
    [(60, ["1", "2", "3", "4"]), (30, ["2", "3", "4"]), (10, ["3", "4"])],
    ids=["room enough", "one makes room", "only what is shipped goes"],
)
def test_what_is_shipped_makes_room_before_the_volume_is_full(
    data: Path, monkeypatch: pytest.MonkeyPatch, free: int, left: list[str]
) -> None:
    """Files of 80 on a volume of 1,000; the third cannot be sent."""
    mysqld = Mysqld(data, {f"binlog.00000{n}": 1 for n in (1, 2, 3)} | {"binlog.000004": 0})
    monkeypatch.setattr(binlog_ship, "Connection", mysqld)
    monkeypatch.setattr(binlog_ship, "read", partial(unreadable, mysqld, "binlog.000003"))
    monkeypatch.setattr(binlog_ship.shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, free=free))
    monkeypatch.setattr(Shipper, "_mark", lambda _, path: [int(path.name[-1]), 80, 1])
    with pytest.raises(BackupError, match="mysqlbinlog ended"):
        Shipper(Store("backups", Bucket()), "server-1", data, data / "shipped.json").look()
    assert [name[-1] for name in mysqld.logs] == left
