"""Backup and restore on real hosts: the database is destroyed everywhere, and comes back to the exact transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import KEYS, Watch, watching
from tests.rehearsal.astray import let_it_write, make_anew, wait_refused, write_astray
from tests.rehearsal.restoring import bucket, history, objects, operations, text, under_way
from tests.rehearsal.stack import REFERENCE, running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

SCRATCH = "/var/lib/tripod/backup"
METRIC = "tripod_last_verified_restore_timestamp_seconds"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("restore"), "test", REFERENCE) as found:
        yield found


def copies(stack: Stack, server: str, pattern: str) -> list[str]:
    return stack.exec(server, "find", SCRATCH, "-maxdepth", "1", "-name", pattern).stdout.split()


def acknowledged(watch: Watch) -> list[Any]:
    return [row for row in watch.requests() if row.kind == "write" and row.ok]


def test_a_write_outside_the_group_is_no_part_of_a_restore(stack: Stack) -> None:
    """It is shipped, since it is in a binary log, and its row would collide with one of the group's."""
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    server = stack.replicas()[-1]
    let_it_write(stack, server)
    assert write_astray(stack, server, 60)
    wait_refused(stack, server)
    uuid = str(stack.query(server, "SELECT @@server_uuid AS uuid")[0]["uuid"])
    client, name = bucket(stack)

    def shipped() -> bool:
        keys = objects(stack, f"{history(stack)}/binlogs/{server}/{uuid}/", ".json")
        return any(uuid in json.loads(client.get_object(Bucket=name, Key=key)["Body"].read())["gtids"] for key in keys)

    wait_until("the errant transaction is shipped", shipped, timeout=60, details=lambda: stack.journals([server]))
    make_anew(stack, server)
    stack.query(stack.primary(), "INSERT INTO app.entries (text, `key`, written_by) VALUES ('x', 'later', 'x')")
    done = operations(stack, "restore", "--latest", "--into", "without")
    assert done.returncode == 0, text(done)
    assert f"without {uuid}:1, which was written outside the group" in text(done)
    verified = operations(stack, "backup", "verify")
    assert verified.returncode == 0, text(verified)


def test_a_destroyed_database_comes_back_to_the_exact_transaction(stack: Stack, tmp_path: Path) -> None:
    with watching(stack, tmp_path, restored_within=240) as watch:
        made = operations(stack, "backup", "now")
        assert made.returncode == 0, text(made)
        watch.observe(4)
        moment, mark = datetime.now(UTC), time.monotonic()
        watch.observe(3)
        wait_until("a write after the moment", lambda: any(row.start > mark for row in acknowledged(watch)), timeout=30)
        later = stack.query(stack.primary(), KEYS)
        binlogs = f"{history(stack)}/binlogs/"
        shipped = len(objects(stack, binlogs, ".json"))
        wait_until(
            "what was written is shipped",
            lambda: len(objects(stack, binlogs, ".json")) >= shipped + 3,
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


def test_a_restore_whose_operator_goes_away_can_be_given_again(stack: Stack) -> None:
    """One member leads with the restored data, the others are empty, and the new timeline has no backup of its own."""
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    insert = "INSERT INTO app.entries (text, `key`, written_by) VALUES ('x', %r, 'x')"
    stack.query(stack.primary(), insert % "kept")
    kept = datetime.now(UTC).isoformat()
    stack.query(stack.primary(), insert % "undone")
    begun = len(objects(stack, "timelines/", ".json"))
    words = ("restore", "--to", kept, "--confirm", stack.name)
    with under_way(stack, *words) as process:
        wait_until(
            "somebody leads with the restored data",
            lambda: len(objects(stack, "data/claims/led-", ".json")) > begun or process.poll() is not None,
            timeout=240,
            details=stack.journals,
        )
        assert process.poll() is None
    done = operations(stack, *words)
    assert done.returncode == 0, text(done)
    assert len(objects(stack, "timelines/", ".json")) == begun + 2
    for server in stack.databases:
        there = {row["key"] for row in stack.query(server, KEYS)}
        assert "kept" in there
        assert "undone" not in there
    verified = operations(stack, "backup", "verify")
    assert verified.returncode == 0, text(verified)


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
    assert copies(stack, server, "drill-*") == []


def test_a_backup_that_is_ended_leaves_no_copy(stack: Stack) -> None:
    """Neither its own nor that of one which a power cut ended."""
    server = stack.replicas()[0]
    stack.exec(server, "mkdir", "-p", f"{SCRATCH}/clone-cut-off/data")
    job = ("systemd-run", "--quiet", "--unit=ended", "--setenv=PYTHONPATH=/usr/local/lib/tripod", "--setenv=HOME=/root")
    stack.exec(server, *job, "python3", "-P", "-m", "host.backup_command", "now")
    wait_until("a copy is made", lambda: copies(stack, server, "clone-2*"), timeout=60, details=stack.journals)
    stack.exec(server, "systemctl", "stop", "ended.service")
    assert copies(stack, server, "clone-*") == []
    assert "it was stopped (SIGTERM)" in stack.exec(server, "journalctl", "-u", "ended.service", "--no-pager").stdout
