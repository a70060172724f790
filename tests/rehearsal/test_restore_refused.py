"""What backup and restore refuse, on real hosts: gaps, corrupt objects, moments that nothing reaches.

One stack serves all tests of this file, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from tests.rehearsal.restoring import bucket, history, objects, operations, text
from tests.rehearsal.stack import REFERENCE, running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("restore"), "test", REFERENCE) as found:
        made = operations(found, "backup", "now")
        assert made.returncode == 0, text(made)
        yield found


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


def test_what_was_shipped_is_verified_and_a_corrupt_object_is_named(stack: Stack) -> None:
    good = operations(stack, "backup", "verify")
    assert good.returncode == 0, text(good)
    client, name = bucket(stack)
    key = objects(stack, f"{history(stack)}/backups/", ".tar.zst")[0]
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
    shipped = objects(stack, f"{history(stack)}/binlogs/", ".zst")
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    sql = "INSERT INTO app.entries (text, `key`, written_by) VALUES ('x', 'in the gap', 'x')"
    stack.query(stack.primary(), sql)

    def lost() -> list[str]:
        found = [key for key in objects(stack, f"{history(stack)}/binlogs/", ".zst") if key not in shipped]
        return found if len(found) >= len(stack.databases) else []

    keys = wait_until("every member has shipped", lost, timeout=90, details=stack.journals)
    for key in keys:
        client.delete_object(Bucket=name, Key=key)
    done = operations(stack, "restore", "--latest", "--into", "across-a-gap")
    assert done.returncode == 1
    assert "gap" in text(done)
    assert any(key in text(done) for key in keys)
