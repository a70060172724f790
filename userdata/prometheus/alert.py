"""The shape of an alert, and how long it takes from what broke to the message about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from topology.model import Topology
from userdata.prometheus.runbook import runbook

Severity = Literal["critical", "warning"]

SCRAPE_SECONDS = 10
EVALUATION_SECONDS = 10
GROUP_WAIT_SECONDS = 5
"""How long Alertmanager collects alerts of one kind before the first message about them."""


def always(topology: Topology) -> bool:  # noqa: ARG001  the shape of Alert.applies
    """For alerts that every stack has."""
    return True


@dataclass(frozen=True)
class Alert:
    """One alert. `expression` is PromQL that has a result exactly while something is wrong.

    It must hold for `hold_seconds` before anybody is told. `broke` and `users` are sentences, templates of Prometheus
    ("{{ $labels.server }}"): what is broken, and what users feel. `applies` says which stacks have it.
    """

    name: str
    severity: Severity
    expression: str
    hold_seconds: int
    broke: str
    users: str
    applies: Callable[[Topology], bool] = always

    @property
    def runbook(self) -> str:
        """Where the runbook says what to do."""
        return runbook(self.name)

    @property
    def delay_seconds(self) -> int:
        """At most so long after it broke (seconds), the message leaves."""
        return SCRAPE_SECONDS + EVALUATION_SECONDS + self.hold_seconds + GROUP_WAIT_SECONDS
