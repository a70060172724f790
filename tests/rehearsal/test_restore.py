"""Backup and restore on real hosts: the database is destroyed everywhere, and comes back to the exact transaction.

One stack serves all tests of this file, in their order.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import KEYS, Watch, watching
from tests.rehearsal.stack import running, status
from topology import names

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

SETTINGS = "config:\n  aws:region: eu-central-1\n  tripod:preset: reference\n"
ACCOUNT = "123456789012"
METRIC = "tripod_last_verified_restore_timestamp_seconds"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("restore"), "test", SETTINGS) as found:
        yield found


def operations(stack: Stack, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command of an operator."""
    found = status(stack)
    environment = {
        "PATH": "/usr/bin:/bin",
        "AWS_ENDPOINT_URL": found["endpoint"],
        "AWS_REGION": found["region"],
        "AWS_DEFAULT_REGION": found["region"],
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
    }
    command = [sys.executable, "-m", "operations", *words, "--stack", stack.name]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def text(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def bucket(stack: Stack) -> tuple[Any, str]:
    found = status(stack)
    client = boto3.client(
        "s3",
        endpoint_url=found["endpoint"],
        region_name=found["region"],
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",
    )
    return client, names.backup_bucket(stack.name, ACCOUNT, found["region"])


def objects(stack: Stack, prefix: str, suffix: str) -> list[str]:
    client, name = bucket(stack)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [key for key in keys if key.endswith(suffix)]


def acknowledged(watch: Watch) -> list[Any]:
    return [row for row in watch.requests() if row.kind == "write" and row.ok]


def test_a_destroyed_database_comes_back_to_the_exact_transaction(stack: Stack, tmp_path: Path) -> None:
    with watching(stack, tmp_path, restored_within=240) as watch:
        made = operations(stack, "backup", "now")
        assert made.returncode == 0, text(made)
        watch.observe(4)
        moment, mark = datetime.now(UTC), time.monotonic()
        watch.observe(3)
        wait_until("a write after the moment", lambda: any(row.start > mark for row in acknowledged(watch)), timeout=30)
        later = stack.query(stack.primary(), KEYS)
        shipped = len(objects(stack, "data/0001/binlogs/", ".json"))
        wait_until(
            "what was written is shipped",
            lambda: len(objects(stack, "data/0001/binlogs/", ".json")) >= shipped + 3,
            timeout=60,
            details=stack.journals,
        )
        for server in stack.databases:
            stack.exec(server, "systemctl", "kill", "--signal=SIGKILL", "mysql.service")
            stack.exec(server, "find", "/var/lib/mysql", "-mindepth", "1", "-delete")
        ended = time.monotonic()
        stop = acknowledged(watch)
        done = operations(stack, "restore", "--to", moment.isoformat(), "--confirm", stack.name)
        assert done.returncode == 0, text(done)
        print(done.stdout)
    before = {row.key for row in stop if row.end < mark}
    after = {row.key for row in stop if mark < row.start < ended}
    assert before
    assert after
    assert {row["key"] for row in later} & after, "something was written after the moment"
    for server in stack.databases:
        there = {row["key"] for row in stack.query(server, KEYS)}
        assert before <= there, f"{server} lacks acknowledged writes"
        assert not after & there, f"{server} holds writes from after the moment"
    assert "last transaction" in done.stdout
    assert "MB in" in done.stdout
    assert "Writable again" in done.stdout


def test_a_stack_is_replaced_only_when_its_name_is_given_twice(stack: Stack) -> None:
    done = operations(stack, "restore", "--latest", "--confirm", "another")
    assert done.returncode == 2
    assert "Nothing was done" in text(done)


def test_a_moment_that_nothing_reaches_is_refused(stack: Stack) -> None:
    """With a primary that ships all, now is reached; without any mysqld nobody can say so."""
    moment = datetime.now(UTC).isoformat()
    done = operations(stack, "restore", "--to", moment, "--into", "reached")
    assert done.returncode == 0, text(done)
    for server in stack.databases:
        stack.exec(server, "systemctl", "stop", "tripod-group.service", "mysql.service")
    try:
        later = datetime.now(UTC).isoformat()
        done = operations(stack, "restore", "--to", later, "--into", "beyond")
    finally:
        for server in stack.databases:
            stack.exec(server, "systemctl", "start", "--no-block", "mysql.service", "tripod-group.service")
    assert done.returncode == 1
    assert "--latest" in text(done)
    wait_until("the group is whole again", stack.whole, timeout=240, details=stack.journals)


def test_a_restore_drill_compares_every_table_and_leaves_evidence(stack: Stack, tmp_path: Path) -> None:
    with watching(stack, tmp_path) as watch:
        done = operations(stack, "backup", "drill")
        watch.observe(1)
    assert done.returncode == 0, text(done)
    client, name = bucket(stack)
    (key,) = objects(stack, "drills/", ".json")
    evidence = json.loads(client.get_object(Bucket=name, Key=key)["Body"].read())
    assert evidence["error"] is None
    assert evidence["tables"]["app.entries"]["rows"] > 0
    server = key.split("/")[1]
    shown = stack.exec(server, "cat", "/var/lib/prometheus/node-exporter/tripod-backup-" + METRIC + ".prom").stdout
    assert float(shown.split()[-1]) == pytest.approx(evidence["ended"], abs=0.01)
    left = stack.exec(server, "find", "/var/lib/tripod/backup", "-maxdepth", "1", "-name", "drill-*").stdout
    assert left.strip() == ""


def test_what_was_shipped_is_verified_and_a_corrupt_object_is_named(stack: Stack) -> None:
    good = operations(stack, "backup", "verify")
    assert good.returncode == 0, text(good)
    client, name = bucket(stack)
    key = objects(stack, "data/0002/backups/", ".tar.zst")[0]
    content = client.get_object(Bucket=name, Key=key)["Body"].read()
    client.put_object(Bucket=name, Key=key, Body=content[:-1] + bytes([content[-1] ^ 1]))
    bad = operations(stack, "backup", "verify")
    client.put_object(Bucket=name, Key=key, Body=content)
    assert bad.returncode == 1
    assert key in text(bad)
    assert "corrupt" in text(bad)


def test_a_removed_binary_log_is_a_gap_that_is_named(stack: Stack) -> None:
    """All members ship the same transactions, so the same part must be gone from all of them."""
    client, name = bucket(stack)
    shipped = objects(stack, "data/0002/binlogs/", ".zst")
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    sql = "INSERT INTO app.entries (text, `key`, written_by) VALUES ('x', 'in the gap', 'x')"
    stack.query(stack.primary(), sql)

    def lost() -> list[str]:
        found = [key for key in objects(stack, "data/0002/binlogs/", ".zst") if key not in shipped]
        return found if len(found) >= len(stack.databases) else []

    keys = wait_until("every member has shipped", lost, timeout=90, details=stack.journals)
    for key in keys:
        client.delete_object(Bucket=name, Key=key)
    done = operations(stack, "restore", "--latest", "--into", "across-a-gap")
    assert done.returncode == 1
    assert "gap" in text(done)
    assert any(key in text(done) for key in keys)
