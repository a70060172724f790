"""A group of three members grows to five while clients read and write, from configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rehearsal.drills.judge import Limits, judge
from rehearsal.drills.stack import Stack
from rehearsal.drills.watch import watching
from rehearsal.up import read_topology
from tests.rehearsal.stack import rehearsal, running

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("mysql", "haproxy", "tripod-app", "tripod-group", "keepalived")

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


def settings(servers: int) -> str:
    """The shipped stack `five`, with its first `servers` servers only."""
    content = yaml.safe_load((ROOT / "Pulumi.five.yaml").read_text())
    content["config"]["tripod:servers"] = content["config"]["tripod:servers"][:servers]
    return yaml.safe_dump(content)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("five")


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Stack]:
    with running(place, "grown", settings(3)) as found:
        yield found


def lives(stack: Stack) -> dict[str, str]:
    """Process ids and restarts of every server's services."""
    words = ("systemctl", "show", "-p", "Id,MainPID,NRestarts", *SERVICES)
    return {server.name: stack.exec(server.name, *words).stdout for server in stack.topology.servers}


def test_two_members_join_while_clients_read_and_write(stack: Stack, place: Path, tmp_path: Path) -> None:
    before, primary = lives(stack), stack.primary()
    with watching(stack, tmp_path) as watch:
        (place / f"Pulumi.{stack.name}.yaml").write_text(settings(5))
        done = rehearsal("up", "--stack", stack.name, "--project", str(place), timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        # From here on what is looked at is five members.
        stack.topology = read_topology(place, stack.name)
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
