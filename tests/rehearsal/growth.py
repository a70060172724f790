"""What scenarios of growing stacks share: a shipped stack with fewer servers, and whether a service noticed."""

from __future__ import annotations

from pathlib import Path

import yaml

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from rehearsal.up import read_topology
from tests.rehearsal.stack import rehearsal

SERVICES = ("mysql", "haproxy", "tripod-app", "tripod-group", "keepalived")


def first_servers(shipped: str, count: int) -> str:
    """Settings of a shipped stack with its first `count` servers only."""
    content = yaml.safe_load((ROOT / f"Pulumi.{shipped}.yaml").read_text())
    content["config"]["tripod:servers"] = content["config"]["tripod:servers"][:count]
    return yaml.safe_dump(content)


def grow(stack: Stack, place: Path, settings: str) -> Stack:
    """Write a running stack's file anew and bring it up as that says; the stack with its new servers."""
    (place / f"Pulumi.{stack.name}.yaml").write_text(settings)
    done = rehearsal("up", "--stack", stack.name, "--project", str(place), timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return Stack(read_topology(place, stack.name))


def lives(stack: Stack) -> dict[str, str]:
    """Process ids and restarts of every server's services."""
    words = ("systemctl", "show", "-p", "Id,MainPID,NRestarts", *SERVICES)
    return {server.name: stack.exec(server.name, *words).stdout for server in stack.topology.servers}
