"""Wait until this server is healthy, and say so in its state parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import state
from .errors import StepError
from .identity import Identity
from .status import status
from .system import System

# A member that clones a large database takes long; the operator's own deadline is shorter and says where it stands.
READY_SECONDS = 1800.0
INTERVAL_SECONDS = 1.0


def await_ready(
    system: System,
    identity: Identity,
    ssm: Any,
    *,
    seconds: float = READY_SECONDS,
    judge: Callable[[System, Identity], dict[str, Any]] = status,
) -> dict[str, Any]:
    """Poll the status until it is healthy; report each new reason why it is not. StepError at the deadline."""
    value: dict[str, Any] = {}
    reported: list[str] | None = None

    def healthy() -> bool:
        nonlocal value, reported
        value = judge(system, identity)
        problems = value["problems"]
        if problems and problems != reported:
            error = "; ".join(problems)
            state.report(ssm, identity, "ready", ok=False, digest=value["digest"], error=error)
            reported = list(problems)
        return not problems

    if not system.wait(healthy, seconds=seconds, interval=INTERVAL_SECONDS):
        raise StepError("ready", "; ".join(value["problems"]), "see `tripod status` on this server")
    state.report(ssm, identity, "ready", ok=True, digest=value["digest"])
    return value
