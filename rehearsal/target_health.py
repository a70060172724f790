"""Target groups of a Network Load Balancer: what they hold, and how a target comes to be healthy or not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rehearsal.proxy_protocol import Endpoint


@dataclass(frozen=True)
class HealthCheck:
    """How targets are checked. `port` None is the target's own; `path` and `matcher` are for HTTP and HTTPS only.

    `interval` and `timeout` are seconds; the two counts are checks in a row.
    """

    protocol: str = "TCP"
    port: int | None = None
    path: str = "/"
    matcher: str = "200-399"
    interval: float = 30
    timeout: float = 10
    healthy: int = 5
    unhealthy: int = 2

    def matches(self, status: int) -> bool:
        """Whether an HTTP status is a good one; `matcher` is AWS's `200`, `200,202` or `200-399`."""
        for part in re.split(r"\s*,\s*", self.matcher.strip()):
            first, _, last = part.partition("-")
            if int(first) <= status <= int(last or first):
                return True
        return False


@dataclass(frozen=True)
class TargetGroup:
    """A target group. `drain` is its deregistration delay in seconds."""

    arn: str
    targets: tuple[Endpoint, ...]
    check: HealthCheck = HealthCheck()
    proxy_protocol: bool = False
    drain: float = 300
    close_when_drained: bool = False
    """`deregistration_delay.connection_termination.enabled`"""
    close_when_unhealthy: bool = True
    """`target_health_state.unhealthy.connection_termination.enabled`"""


class State(StrEnum):
    """A target's state, in the words of DescribeTargetHealth."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    UNUSED = "unused"


WORST_FIRST = (State.UNHEALTHY, State.INITIAL, State.DRAINING, State.HEALTHY, State.UNUSED)


@dataclass
class TargetHealth:
    """One target as one node sees it.

    A new target needs one good check (the guide, "Health checks for Network Load Balancer target groups"); one that
    was taken out needs as many in a row as the group says.
    """

    check: HealthCheck
    state: State = State.INITIAL
    _good: int = field(default=0, init=False)
    _bad: int = field(default=0, init=False)

    def saw(self, *, well: bool) -> bool:
        """Count one check; whether the state changed by it."""
        before = self.state
        self._good, self._bad = (self._good + 1, 0) if well else (0, self._bad + 1)
        if self._good >= (1 if self.state is State.INITIAL else self.check.healthy):
            self.state = State.HEALTHY
        elif self._bad >= self.check.unhealthy:
            self.state = State.UNHEALTHY
        return self.state is not before


def choose(states: Mapping[Endpoint, State], flow: Sequence[object]) -> Endpoint | None:
    """The target of a new connection: by a hash of the flow among the healthy ones; None when there is none at all.

    When no target is healthy the load balancer fails open and uses the unhealthy ones: a check may be wrong.
    """
    for wanted in (State.HEALTHY, State.UNHEALTHY):
        found = sorted(target for target, state in states.items() if state is wanted)
        if found:
            return found[zlib.crc32(repr(tuple(flow)).encode()) % len(found)]
    return None


def worst(states: Collection[State]) -> State:
    """What DescribeTargetHealth says when nodes differ: the worst that one of them sees."""
    return next((state for state in WORST_FIRST if state in states), State.UNUSED)
