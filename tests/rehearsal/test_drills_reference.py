"""Every drill on a stack with one load balancer: it says what it cannot survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Result
from rehearsal.drills.stack import Stack
from tests.rehearsal.drilling import one, settings
from tests.rehearsal.stack import running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("drills"), "drillref", settings("reference")) as found:
        yield found


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
