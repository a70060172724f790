"""A group of three members grows to five while clients read and write, from configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rehearsal.drills.judge import Limits
from rehearsal.drills.scene import Scene
from rehearsal.drills.stack import Stack
from rehearsal.drills.watch import watching
from tests.rehearsal.drilling import verdict_of
from tests.rehearsal.growth import first_servers, grow, lives
from tests.rehearsal.scraped import wait_for_targets
from tests.rehearsal.stack import client, rehearsal, running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("five")


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Stack]:
    with running(place, "grown", first_servers("five", 3)) as found:
        yield found


def test_two_members_join_while_clients_read_and_write(stack: Stack, place: Path, tmp_path: Path) -> None:
    before, primary = lives(stack), stack.primary()
    with watching(stack, tmp_path) as watch:
        # From here on what is looked at is five members.
        stack.topology = grow(stack, place, first_servers("five", 5)).topology
        stack.wait_whole()
        watch.observe(3)
    verdict = verdict_of(watch, Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ()
    assert verdict.acknowledged > 100
    assert watch.record
    assert sorted(watch.record.final_keys) == ["server-1", "server-2", "server-3", "server-4", "server-5"]
    # Nobody else noticed: a new member restarts no service and does not move the primary.
    after = lives(stack)
    assert {name: after[name] for name in before} == before
    assert stack.primary() == primary
    wait_for_targets(stack)


def test_five_members_survive_the_loss_of_two(stack: Stack, tmp_path: Path) -> None:
    """Follows the test above: three members could not do this."""
    lost = (stack.primary(), stack.replicas()[-1])
    with watching(stack, tmp_path) as watch:
        since = watch.now
        stack.power("kill", *lost)
        try:
            watch.wait_for_writes(since + 1, 60)
        finally:
            stack.power("start", *lost)
    assert verdict_of(watch).faults == ()


def test_two_members_leave_again_while_clients_read_and_write(stack: Stack, place: Path, tmp_path: Path) -> None:
    """As docs/runbook.md says, "Remove servers from a stack"."""
    leaving = ("server-4", "server-5")
    stack.wait_healthy()
    before = lives(stack)
    unguarded = yaml.safe_load(first_servers("five", 5))
    unguarded["config"]["tripod:deletionProtection"] = False
    with watching(stack, tmp_path) as watch:
        primary = Scene(stack, watch).lead_from(lambda server: server not in leaving)
        grow(stack, place, yaml.safe_dump(unguarded))
        done = rehearsal("unprotect", "--stack", stack.name, *(f"{server}-data" for server in leaving))
        assert done.returncode == 0, done.stderr
        stack.topology = grow(stack, place, first_servers("five", 3)).topology
        stack.wait_whole()
        watch.observe(3)
    verdict = verdict_of(watch, Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ()
    assert watch.record
    assert sorted(watch.record.final_keys) == ["server-1", "server-2", "server-3"]
    assert lives(stack) == {name: before[name] for name in stack.databases}
    assert stack.primary() == primary
    kept = client(stack, "ec2").describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]
    assert len(kept) == len(leaving)
    wait_for_targets(stack)
