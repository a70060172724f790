"""The SSM agent, through which every roll-out, command and shell reaches a server: installed where the image lacks it.

Ubuntu's images for EC2 bring it as a snap, AWS's own package names its unit otherwise (Systems Manager guide, "Check
SSM Agent status and start the agent"). Nothing promises that the image of a new release has it.
"""

from __future__ import annotations

from . import units
from .errors import StepError
from .system import System

SNAP = "amazon-ssm-agent"
UNITS = (f"snap.{SNAP}.{SNAP}.service", f"{SNAP}.service")

# A first boot unpacks the snaps that its image brings; until then none of them has a unit.
SEED_SECONDS = 120.0
INSTALL_SECONDS = 120.0


def ensure(system: System) -> None:
    """Install the agent unless it is there. Raises StepError when that fails; the server can run without it.

    Without snapd (a rehearsal's host, an image of one's own) there is nothing to install it with, and only a warning.
    """
    if _present(system):
        return
    seeded = system.run(["snap", "wait", "system", "seed.loaded"], timeout=SEED_SECONDS)
    if seeded.code == 127:
        print("neither an SSM agent nor snapd: an image of one's own must bring the agent")
        return
    if _present(system):
        return
    done = system.run(["snap", "install", SNAP, "--classic"], timeout=INSTALL_SECONDS)
    if not done.ok:
        problem = f"the SSM agent is missing and cannot be installed ({done.last_line})"
        raise StepError("agent", problem, "see that the server reaches the snap store; the server runs without it")


def _present(system: System) -> bool:
    return any(unit.exists for unit in units.show(system, UNITS).values())
