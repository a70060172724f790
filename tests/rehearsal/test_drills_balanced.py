"""Drills behind a Network Load Balancer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.drills.drill import Result
from rehearsal.drills.stack import Stack
from tests.rehearsal.drilling import one, settings
from tests.rehearsal.stack import running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("drills"), "drillnlb", settings("active-active")) as found:
        yield found


@pytest.mark.parametrize("name", ["primary-killed", "active-load-balancer-lost", "haproxy-hung"])
def test_behind_a_network_load_balancer_the_drills_pass_too(balanced: Stack, name: str, tmp_path: Path) -> None:
    outcome = one(balanced, name, tmp_path)
    assert outcome.result is Result.PASSED, outcome.reason


def test_a_control_of_a_feature_that_the_stack_does_not_have_is_not_tried(balanced: Stack, tmp_path: Path) -> None:
    outcome = one(balanced, "active-load-balancer-lost", tmp_path, "vrrp")
    assert (outcome.result, outcome.reason) == (Result.NOT_POSSIBLE, "this stack has no floating address")
