"""Drills on real hosts: a few of them with every test run, all of them and their negative controls on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.display import MARKS
from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Result
from rehearsal.drills.exercise import control_holds
from rehearsal.drills.judge import Limits
from rehearsal.drills.record import Request, Tail
from rehearsal.drills.scene import Scene
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import Watch
from rehearsal.engine import Step
from tests.rehearsal.drilling import one, settings
from tests.rehearsal.scraped import wait_for_targets
from tests.rehearsal.stack import rehearsal, running

pytestmark = pytest.mark.rehearsal

# With a margin for two busy cores: they tell a take-over from none. The aims are each drill's own limits.
CORE = {
    "active-load-balancer-lost": Limits(write_gap=20.0, read_gap=8.0),
    "application-killed": Limits(write_gap=8.0, read_gap=5.0),
}
CONTROLS = [(drill.name, control) for drill in DRILLS.values() for control in drill.controls]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project directory of the stack."""
    return tmp_path_factory.mktemp("drills")


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Stack]:
    with running(place, "drill", settings("active-passive")) as found:
        yield found


def refused_reads(place: Path) -> list[Request]:
    """Reads that the site itself answered with an error; what a busy machine's client gave up is none of them."""
    (file,) = place.rglob("requests.jsonl")
    return [row for row in Tail(file, Request).rows() if row.kind == "read" and row.status >= 500]


def test_monitoring_gets_metrics_from_every_server(stack: Stack) -> None:
    wait_for_targets(stack)


@pytest.mark.parametrize("name", CORE)
def test_the_core_of_the_drills_passes(stack: Stack, name: str, tmp_path: Path) -> None:
    outcome = one(stack, name, tmp_path, limits=CORE[name])
    assert outcome.result is Result.PASSED, outcome.reason
    if name == "application-killed":
        assert not refused_reads(tmp_path)


def test_without_retries_a_killed_application_server_costs_requests(stack: Stack, tmp_path: Path) -> None:
    outcome = one(stack, "application-killed", tmp_path, "retries")
    assert control_holds(outcome), (outcome.result, outcome.reason)
    assert refused_reads(tmp_path)
    # What was switched off is on again.
    assert "retry-on" in stack.exec(stack.topology.load_balancers[0].name, "cat", "/etc/haproxy/haproxy.cfg").stdout


@pytest.mark.drill
def test_evaluating_the_program_again_undoes_neither_a_failover_nor_a_move(stack: Stack, place: Path) -> None:
    scene = Scene(stack, Watch(stack, place))
    holder = scene.holder()
    stack.exec(holder, "systemctl", "stop", "keepalived.service")
    wait_until("the address moved", lambda: scene.holder() != holder, timeout=30, details=stack.journals)
    stack.exec(holder, "systemctl", "start", "keepalived.service")
    primary = stack.primary()
    stack.exec(primary, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=main", "mysql.service")
    wait_until("another primary", lambda: stack.primary() != primary, timeout=60, details=stack.journals)
    stack.wait_whole()
    stack.wait_healthy()

    moved = (stack.elastic(), stack.primary())
    done = rehearsal("up", "--stack", stack.name, "--project", str(place), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running the program" in done.stderr
    marks = "|".join(re.escape(mark) for step, mark in MARKS.items() if step is not Step.SAME)
    changes = re.findall(rf"^ *[\d.]+s +(?:{marks}) .*$", done.stderr, re.MULTILINE)
    assert not changes, done.stderr
    assert (stack.elastic(), stack.primary()) == moved


@pytest.mark.drill
@pytest.mark.parametrize("name", [name for name in DRILLS if name not in CORE])
def test_every_drill_passes_with_two_load_balancers(stack: Stack, name: str, tmp_path: Path) -> None:
    outcome = one(stack, name, tmp_path)
    assert outcome.result in {Result.PASSED, Result.NOT_POSSIBLE}, outcome.reason
    assert outcome.result is Result.PASSED or outcome.reason


@pytest.mark.drill
@pytest.mark.parametrize("name, safety", CONTROLS)
def test_every_control_fails_for_its_reason(stack: Stack, name: str, safety: str, tmp_path: Path) -> None:
    outcome = one(stack, name, tmp_path, safety)
    assert control_holds(outcome), (outcome.result, outcome.reason)
