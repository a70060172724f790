"""What a drill is: a short scenario on a running stack, with the limits that it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from rehearsal.drills.judge import Limits
from rehearsal.drills.scene import Scene, entrances
from rehearsal.drills.stack import Stack
from topology.model import Topology
from topology.names import Edge

RESTORED_WITHIN = 240.0
DETECTION = 10.0
"""Seconds without writes that a silent loss of the primary may cost: the group's own detection takes five."""


class Result(StrEnum):
    """How a drill ended."""

    PASSED = "passed"
    FAILED = "failed"
    CANNOT_SURVIVE = "cannot survive"
    """The stack's topology cannot survive this; what it cost was measured, and no write was lost."""
    NOT_POSSIBLE = "not possible here"
    """Nothing was tried: the stack has no such part, or this machine cannot make such a fault."""


def survives(_: Topology) -> str:
    """No reason why the topology could not survive it."""
    return ""


def possible(_: Stack) -> str:
    """No reason why it could not be tried."""
    return ""


@dataclass(frozen=True)
class Drill:
    """A scenario: `act` breaks something, waits for what must happen, and heals what it broke.

    `weakness` says of a topology why it cannot survive this, `obstacle` of a stack why it cannot be tried; both are
    empty where nothing stands against it. `controls` names safety features without which the judge must fail it.
    `limits_at_the_edge` hold instead of `limits` where every application server is a load balancer that the world
    sends to: what is on its way to a lost one is lost, whoever else is left.
    """

    name: str
    what: str
    act: Callable[[Scene], None]
    limits: Limits = field(default_factory=lambda: Limits(write_gap=DETECTION))
    weakness: Callable[[Topology], str] = survives
    obstacle: Callable[[Stack], str] = possible
    controls: tuple[str, ...] = ()
    restored_within: float = RESTORED_WITHIN
    limits_at_the_edge: Limits | None = None

    def limits_for(self, topology: Topology) -> Limits:
        """What a stack of this topology is held against."""
        if self.limits_at_the_edge and all(server in entrances(topology) for server in topology.apps):
            return self.limits_at_the_edge
        return self.limits


def single_load_balancer(topology: Topology) -> str:
    """Why a topology with one load balancer cannot survive the loss of that one."""
    balancers = topology.load_balancers
    return "" if len(balancers) > 1 else f"single load balancer ({balancers[0].name})"


def single_application_server(topology: Topology) -> str:
    """Why a topology with one application server cannot survive the loss of that one."""
    return "" if len(topology.apps) > 1 else f"single application server ({topology.apps[0].name})"


def no_floating_address(stack: Stack) -> str:
    """Why drills of the address that moves cannot be tried."""
    return "" if stack.topology.edge is Edge.FLOATING_EIP else "this stack has no floating address"
