"""What Prometheus on the monitoring servers scrapes, and whether it gets it."""

from __future__ import annotations

import json

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from topology import ports
from topology.model import Server
from topology.names import Role

# Prometheus looks every 15 s; a busy machine needs a second look.
WITHIN = 90


def expected(stack: Stack) -> dict[str, str]:
    """Every target's address (`10.20.0.10:9100`), all of them up."""
    every = stack.topology.servers
    targets = {
        ports.NODE_EXPORTER: every,
        ports.HAPROXY_METRICS: [one for one in every if one.has(Role.LOAD_BALANCER) or one.has(Role.APP)],
        ports.MYSQLD_EXPORTER: [one for one in every if one.has(Role.DATABASE) or one.has(Role.READ_REPLICA)],
        ports.PROMETHEUS: stack.topology.monitors,
        ports.ALERTMANAGER: stack.topology.monitors,
    }
    return {f"{server.address}:{port}": "up" for port, servers in targets.items() for server in servers}


def scraped(stack: Stack) -> dict[str, dict[str, str]]:
    """By monitoring server, its targets by address, each with its health: up, down or unknown."""
    return {server.name: _targets(stack, server) for server in stack.topology.monitors}


def _targets(stack: Stack, monitor: Server) -> dict[str, str]:
    url = f"http://{monitor.address}:{ports.PROMETHEUS}/api/v1/targets?state=active"
    answer = json.loads(stack.exec(monitor.name, "curl", "--silent", "--fail", "--max-time", "10", url).stdout)
    return {target["discoveredLabels"]["__address__"]: target["health"] for target in answer["data"]["activeTargets"]}


def wait_for_targets(stack: Stack) -> None:
    """Wait until every monitoring server gets metrics from every target, and has no other."""
    wanted = {server.name: expected(stack) for server in stack.topology.monitors}
    wait_until(
        "every target is up",
        lambda: scraped(stack) == wanted,
        timeout=WITHIN,
        pause=1,
        details=lambda: str(scraped(stack)),
    )
