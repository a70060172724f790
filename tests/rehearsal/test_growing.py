"""A group of three members grows to five while clients read and write, from configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.drills.judge import Limits, judge
from rehearsal.drills.stack import Stack
from rehearsal.drills.watch import watching
from tests.rehearsal.growth import first_servers, grow, lives
from tests.rehearsal.stack import running

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
    assert watch.record is not None
    verdict = judge(watch.record, Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ()
    assert verdict.acknowledged > 100
    assert sorted(watch.record.final_keys) == ["server-1", "server-2", "server-3", "server-4", "server-5"]
    # Nobody else noticed: a new member restarts no service and does not move the primary.
    after = lives(stack)
    assert {name: after[name] for name in before} == before
    assert stack.primary() == primary


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
    assert watch.record is not None
    assert judge(watch.record).faults == ()
