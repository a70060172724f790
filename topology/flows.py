"""The firewall as one table: who may talk to whom, on which port, and why.

Security groups, the rehearsal's nftables rules, the documentation and the exhaustive connection test all come
from here. A security group is a role's: its rules reference the groups of other roles, never addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from topology import ports
from topology.model import Server, Topology
from topology.names import Edge, Role

World = Literal["world"]
EdgePeer = Literal["edge"]
WORLD: World = "world"
EDGE: EdgePeer = "edge"
Peer = Role | World | EdgePeer
Protocol = Literal["tcp", "udp", "vrrp"]


@dataclass(frozen=True)
class Flow:
    """One allowed direction of opening connections. `port` is None for VRRP, which has no ports."""

    source: Peer
    destination: Peer
    protocol: Protocol
    port: int | None
    reason: str

    @property
    def key(self) -> str:
        """Short unique name, used for resources: `app-database-tcp-3306`."""
        port = "any" if self.port is None else str(self.port)
        return f"{_slug(self.source)}-{_slug(self.destination)}-{self.protocol}-{port}"


def _slug(peer: Peer) -> str:
    return str(peer).replace("_", "-")


def app_port(topology: Topology) -> int:
    """Port of the application: the sample's, or the one the stack's own application names."""
    return topology.application.port if topology.application else ports.APP


def flows(topology: Topology) -> tuple[Flow, ...]:
    """Every flow of a stack, in a fixed order, without those of roles that no server has."""
    present = {role for server in topology.servers for role in server.roles}

    def known(peer: Peer) -> bool:
        return not isinstance(peer, Role) or peer in present

    return tuple(flow for flow in _declare(topology) if known(flow.source) and known(flow.destination))


def _declare(topology: Topology) -> Iterator[Flow]:
    yield from _ways_in(topology)
    yield Flow(Role.LOAD_BALANCER, Role.APP, "tcp", app_port(topology), "requests to the application")
    yield from _database()
    yield from _monitoring()
    for role in Role:
        yield Flow(role, WORLD, "tcp", ports.HTTPS, "AWS APIs and package mirrors")
        yield Flow(role, WORLD, "tcp", ports.HTTP, "package mirrors")


def _ways_in(topology: Topology) -> Iterator[Flow]:
    if topology.edge is Edge.NLB:
        yield Flow(WORLD, EDGE, "tcp", ports.HTTPS, "visitors")
        yield Flow(WORLD, EDGE, "tcp", ports.HTTP, "visitors, redirected to HTTPS")
        yield Flow(EDGE, Role.LOAD_BALANCER, "tcp", ports.HTTPS, "visitors")
        yield Flow(EDGE, Role.LOAD_BALANCER, "tcp", ports.HTTP, "visitors")
        yield Flow(EDGE, Role.LOAD_BALANCER, "tcp", ports.HAPROXY_HEALTH, "health checks")
        return
    yield Flow(WORLD, Role.LOAD_BALANCER, "tcp", ports.HTTPS, "visitors")
    yield Flow(WORLD, Role.LOAD_BALANCER, "tcp", ports.HTTP, "visitors, redirected to HTTPS")
    if topology.edge is Edge.FLOATING_EIP:
        yield Flow(Role.LOAD_BALANCER, Role.LOAD_BALANCER, "vrrp", None, "keepalived, unicast VRRP")


def _database() -> Iterator[Flow]:
    for role in (Role.DATABASE, Role.READ_REPLICA):
        yield Flow(Role.APP, role, "tcp", ports.MYSQL, "queries")
        yield Flow(Role.APP, role, "tcp", ports.ROLE_CHECK, "who is primary, who may be read")
    yield Flow(Role.DATABASE, Role.DATABASE, "tcp", ports.MYSQL, "clone and recovery of members")
    yield Flow(Role.DATABASE, Role.DATABASE, "tcp", ports.GROUP_REPLICATION, "group communication")
    yield Flow(Role.DATABASE, Role.DATABASE, "tcp", ports.ROLE_CHECK, "who leads after a full outage")
    yield Flow(Role.READ_REPLICA, Role.DATABASE, "tcp", ports.MYSQL, "asynchronous replication and clone")
    yield Flow(Role.READ_REPLICA, Role.DATABASE, "tcp", ports.ROLE_CHECK, "which member to clone from")


def _monitoring() -> Iterator[Flow]:
    for role in Role:
        yield Flow(Role.MONITORING, role, "tcp", ports.NODE_EXPORTER, "metrics of the host")
    for role in (Role.LOAD_BALANCER, Role.APP):
        yield Flow(Role.MONITORING, role, "tcp", ports.HAPROXY_METRICS, "metrics of HAProxy")
    for role in (Role.DATABASE, Role.READ_REPLICA):
        yield Flow(Role.MONITORING, role, "tcp", ports.MYSQLD_EXPORTER, "metrics of MySQL")
    yield Flow(Role.MONITORING, Role.MONITORING, "tcp", ports.PROMETHEUS, "Prometheus watches its pair")
    yield Flow(Role.MONITORING, Role.MONITORING, "tcp", ports.ALERTMANAGER, "alerts to every Alertmanager")
    yield Flow(Role.MONITORING, Role.MONITORING, "tcp", ports.ALERTMANAGER_CLUSTER, "Alertmanager cluster")
    yield Flow(Role.MONITORING, Role.MONITORING, "udp", ports.ALERTMANAGER_CLUSTER, "Alertmanager gossip")


def allowed(
    topology: Topology, source: Server | World | EdgePeer, destination: Server, protocol: Protocol, port: int | None
) -> bool:
    """Whether `source` may open a connection to `destination`.

    A server with several roles may do what any of them may, because it is in all their security groups.
    """
    peers: set[Peer] = set(source.roles) if isinstance(source, Server) else {source}
    return any(
        flow.source in peers
        and flow.destination in destination.roles
        and flow.protocol == protocol
        and flow.port == port
        for flow in flows(topology)
    )
