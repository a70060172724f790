"""The firewall as a table: every flow of a stack, for people and for the documentation."""

from __future__ import annotations

from topology.flows import flows
from topology.model import Topology

HEADERS = ("from", "to", "protocol", "port", "why")


def flow_rows(topology: Topology) -> list[tuple[str, str, str, str, str]]:
    """One row a flow, in the order of the declaration; whatever is not in a row is closed."""
    return [
        (str(flow.source), str(flow.destination), flow.protocol, str(flow.port or "any"), flow.reason)
        for flow in flows(topology)
    ]
