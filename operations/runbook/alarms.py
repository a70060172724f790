"""The CloudWatch alarms of a stack by their names, for the entries. tests/operations/test_runbook.py checks them."""

from __future__ import annotations

from topology import names, ports
from topology.model import Topology
from topology.names import Edge


def alarms(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Names of the alarms that the stack has, by symptom; none for a symptom that cannot be there."""
    servers = tuple(server.name for server in topology.servers)
    listeners = tuple(f"edge-{listener}" for listener in ports.LISTENERS) if topology.edge is Edge.NLB else ()
    subjects = {
        "system": servers,
        "instance": servers,
        "credits": tuple(server.name for server in topology.servers if server.burstable),
        "heartbeat": ("monitoring",) if topology.monitors else (),
        "unhealthy": listeners,
        "down": listeners,
    }
    return {
        symptom: tuple(names.alarm(topology.stack, subject, symptom) for subject in found)
        for symptom, found in subjects.items()
    }
