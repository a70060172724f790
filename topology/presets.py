"""Three ready-made topologies. They are data: nothing else in Tripod asks for a preset's name."""

from __future__ import annotations

from dataclasses import dataclass

from topology.names import Edge, Role

_LB, _APP, _DB, _MON = Role.LOAD_BALANCER, Role.APP, Role.DATABASE, Role.MONITORING


@dataclass(frozen=True)
class Preset:
    """Servers (name to roles), the edge and the database server that should be primary when all are well."""

    summary: str
    edge: Edge
    servers: dict[str, tuple[Role, ...]]
    preferred_primary: str


PRESETS: dict[str, Preset] = {
    "reference": Preset(
        summary="one load balancer with an Elastic IP, two application servers, three database servers",
        edge=Edge.EIP,
        servers={
            "server-1": (_LB, _APP, _DB),
            "server-2": (_APP, _DB),
            "server-3": (_DB, _MON),
        },
        preferred_primary="server-1",
    ),
    "active-passive": Preset(
        summary="two load balancers that share one Elastic IP, every server runs application and database",
        edge=Edge.FLOATING_EIP,
        servers={
            "server-1": (_LB, _APP, _DB, _MON),
            "server-2": (_LB, _APP, _DB, _MON),
            "server-3": (_APP, _DB, _MON),
        },
        # Never on the active load balancer: losing one host must not cost both the address and the primary.
        preferred_primary="server-3",
    ),
    "active-active": Preset(
        summary="a Network Load Balancer in front of three load balancers, every server does everything",
        edge=Edge.NLB,
        servers={
            "server-1": (_LB, _APP, _DB, _MON),
            "server-2": (_LB, _APP, _DB, _MON),
            "server-3": (_LB, _APP, _DB, _MON),
        },
        preferred_primary="server-1",
    ),
}
