"""The firewall as a table: every flow of a stack, for people and for the documentation."""

from __future__ import annotations

from topology.flows import Peer, flows
from topology.model import Topology
from topology.names import Role

HEADERS = ("from", "to", "protocol", "port", "why")


def flow_rows(topology: Topology) -> list[tuple[str, str, str, str, str]]:
    """One row a flow, in the order of the declaration; whatever is not in a row is closed."""
    return [
        (_peer(topology, f.source), _peer(topology, f.destination), f.protocol, str(f.port or "any"), f.reason)
        for f in flows(topology)
    ]


def _peer(topology: Topology, peer: Peer) -> str:
    if not isinstance(peer, Role):
        return str(peer)
    servers = topology.with_role(peer)
    if len(servers) == len(topology.servers):
        return f"{peer.value} (all)"
    return f"{peer.value} ({', '.join(server.name for server in servers)})"
