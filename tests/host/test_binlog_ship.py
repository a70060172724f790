"""Shipping a binary log: from mysqlbinlog and zstd (stand-ins here) to the bucket, in little memory."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from userdata.host.backup_store import Store
from userdata.host.binlog_ship import Shipper

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
