"""Each shipped stack, evaluated afresh: once as `pulumi up` sees it, once as its first preview does."""

from __future__ import annotations

import pytest

from tests.program.evaluation import STACKS, Evaluation, evaluate
from topology.build import build_topology
from topology.model import Topology
from topology.settings import Settings
from topology.stackfile import read_stack


@pytest.fixture(scope="session", params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def program(stack: str) -> Evaluation:
    """The whole stack, made. Registrations are never changed by a test."""
    return evaluate(stack)


@pytest.fixture(scope="session")
def preview(stack: str) -> Evaluation:
    """The whole stack in its first preview: nothing is there yet."""
    return evaluate(stack, preview=True)


@pytest.fixture(scope="session")
def topology(stack: str) -> Topology:
    """The model that the program was made from."""
    from tests.program.plain_mocks import ROOT

    file = read_stack(ROOT, stack)
    return build_topology(Settings.parse(file.settings, stack), stack=stack, region=file.region)
