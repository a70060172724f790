"""Drills on real hosts: a few of them with every test run, all of them and their negative controls on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Result
from rehearsal.drills.exercise import control_holds, exercise
from rehearsal.drills.outcome import Outcome
from rehearsal.drills.stack import Stack
from tests.rehearsal.stack import running

pytestmark = pytest.mark.rehearsal

SETTINGS = "config:\n  aws:region: eu-central-1\n  tripod:preset: {preset}\n"
CORE = ("active-load-balancer-lost", "application-killed")
CONTROLS = [(drill.name, control) for drill in DRILLS.values() for control in drill.controls]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("drills"), "drill", SETTINGS.format(preset="active-passive")) as found:
        yield found


def one(stack: Stack, name: str, place: Path, safety: str = "") -> Outcome:
    (outcome,) = exercise(stack, DRILLS[name], place, safety=safety)
    return outcome


@pytest.mark.parametrize("name", CORE)
def test_the_core_of_the_drills_passes(stack: Stack, name: str, tmp_path: Path) -> None:
    outcome = one(stack, name, tmp_path)
    assert outcome.result is Result.PASSED, outcome.reason


def test_without_retries_a_killed_application_server_costs_requests(stack: Stack, tmp_path: Path) -> None:
    outcome = one(stack, "application-killed", tmp_path, "retries")
    assert control_holds(outcome), (outcome.result, outcome.reason)
    # What was switched off is on again.
    assert "retry-on" in stack.exec(stack.topology.load_balancers[0].name, "cat", "/etc/haproxy/haproxy.cfg").stdout


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


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("drills"), "drillref", SETTINGS.format(preset="reference")) as found:
        yield found


@pytest.mark.drill
@pytest.mark.parametrize("name", DRILLS)
def test_the_reference_stack_says_what_it_cannot_survive(reference: Stack, name: str, tmp_path: Path) -> None:
    outcome = one(reference, name, tmp_path)
    weak = bool(DRILLS[name].weakness(reference.topology))
    assert outcome.result is not Result.FAILED, outcome.reason
    if weak:
        assert outcome.result is Result.CANNOT_SURVIVE
        assert outcome.reason == "single load balancer (server-1)"
        assert outcome.verdict is not None
        assert outcome.verdict.read_gap > 1, "the loss of the site was measured"
