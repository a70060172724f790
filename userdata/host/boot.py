"""A server's start: volume, packages, bundle, agent, ready; each step is written to the state parameter.

The first boot goes through all steps and is tried again until it succeeds (tripod-boot.service). Later boots apply
nothing: what was applied is on the root disk, a server must come up without S3, and a new configuration is rolled
out server by server by an operator, not by whoever reboots (docs/adr: "A reboot applies nothing").
"""

from __future__ import annotations

from typing import Any

from . import fetch, packages, ssm_agent, state, units, volume
from .apply import Apply
from .errors import StepError
from .identity import Identity
from .ready import READY_SECONDS, await_ready
from .swap import applied
from .system import System


def boot(system: System, identity: Identity, s3: Any, ssm: Any, *, ready_seconds: float = READY_SECONDS) -> None:
    """Bring the server up to "ready". Raises the StepError of the first step that fails, after reporting it."""
    step = "volume"
    lacking = _lacking_agent(system)
    try:
        if applied(system) is None:
            _stop_stock_database(system)
        volume.mount(system)
        if applied(system) is None:
            step = "packages"
            state.report(ssm, identity, step, ok=True, digest=None)
            packages.install(system, fetch.fetch_manifest(s3, identity).packages)
            volume.own(system)
            step = "apply"
            state.report(ssm, identity, step, ok=True, digest=None)
            outcome = Apply(system, identity, s3, ssm, by="boot").run()
            state.remember(system, digest=outcome.digest, error=None)
            print(f"{identity.server}: {outcome.text}")
        if lacking:
            step = "agent"
            raise lacking
        step = "ready"
        await_ready(system, identity, ssm, seconds=ready_seconds)
    except StepError as error:
        state.report(ssm, identity, step, ok=False, digest=state.recall(system)["digest"], error=str(error))
        raise


def _lacking_agent(system: System) -> StepError | None:
    # First, so that somebody can look inside when a later step fails. But it is no reason to stay out of service: it is
    # told, and tried again, when all else is done.
    try:
        ssm_agent.ensure(system)
    except StepError as error:
        return error
    return None


def _stop_stock_database(system: System) -> None:
    # An image that has the package runs mysqld on the root disk; it must let go before the volume is mounted over it.
    if any(unit.active == "active" for unit in units.show(system, ["mysql.service"]).values()):
        system.run(["systemctl", "stop", "mysql.service"], timeout=units.SYSTEMCTL_SECONDS)
