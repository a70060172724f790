"""Changed passwords of the database accounts: no request fails while they are rolled out; members join with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehearsal.drills.judge import Limits
from rehearsal.drills.stack import Stack
from rehearsal.drills.watch import watching
from tests.rehearsal.drilling import verdict_of
from tests.rehearsal.restoring import operations, text
from tests.rehearsal.stack import REFERENCE, client, running
from topology.names import Account, password_parameter

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("passwords"), "test", REFERENCE) as found:
        yield found


def test_changed_passwords_refuse_nobody(stack: Stack, tmp_path: Path) -> None:
    parameters = client(stack, "ssm")
    with watching(stack, tmp_path) as watch:
        watch.observe(2)
        for account in Account:
            name, value = password_parameter(stack.name, account), f"changed-{account.value}"
            parameters.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
        done = operations(stack, "apply")
        assert done.returncode == 0, text(done)
        watch.observe(3)
        stack.exec(stack.replicas()[0], "systemctl", "restart", "mysql.service")
        stack.wait_whole()
    verdict = verdict_of(watch, Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ()
    assert verdict.acknowledged > 20


def test_a_backup_from_before_a_change_of_passwords_can_be_restored(stack: Stack) -> None:
    """Members are cloned from the one that leads with today's password, and it can change no account while alone."""
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    moment = datetime.now(UTC).isoformat()
    parameters, account = client(stack, "ssm"), Account.REPLICATION
    name = password_parameter(stack.name, account)
    parameters.put_parameter(Name=name, Value="changed-again", Type="SecureString", Overwrite=True)
    done = operations(stack, "apply")
    assert done.returncode == 0, text(done)
    done = operations(stack, "restore", "--to", moment, "--confirm", stack.name)
    assert done.returncode == 0, text(done)
