"""What `pulumi stack output` shows: where the site is, which servers there are, and how to get a shell on one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi

from components.certificates import Authority
from components.edge import Edge
from components.server import Server
from topology.model import Topology

# The stack's page in Pulumi Cloud, which fills in the other outputs where it says ${outputs.url}.
README = Path(__file__).resolve().parent.parent / "Pulumi.README.md"
SERVERS = "<!-- servers -->"
STACK = "STACK"


def export(topology: Topology, *, edge: Edge, servers: Mapping[str, Server], authority: Authority) -> None:
    """Export the stack's outputs."""
    pulumi.export("url", pulumi.Output.concat("https://", edge.host, "/"))
    pulumi.export("addresses", list(edge.addresses or edge.names))
    pulumi.export("servers", {name: _server(server) for name, server in servers.items()})
    pulumi.export(
        "shell",
        {
            name: pulumi.Output.format(
                "aws ssm start-session --region {0} --target {1}", topology.region, server.instance_id
            )
            for name, server in servers.items()
        },
    )
    pulumi.export("caCertificate", authority.certificate_pem)
    readme = README.read_text(encoding="utf-8").replace(SERVERS, _table(topology)).replace(STACK, topology.stack)
    pulumi.export("readme", readme)


def _table(topology: Topology) -> str:
    rows = [
        f"| {server.name} | {', '.join(server.roles)} | {server.address} | {server.zone} | {server.instance_type} |"
        for server in topology.servers
    ]
    return "\n".join(["| server | roles | address | zone | type |", "|---|---|---|---|---|", *rows])


def _server(server: Server) -> dict[str, object]:
    spec = server.spec
    return {
        "roles": [role.value for role in spec.roles],
        "address": str(spec.address),
        "zone": spec.zone,
        "instanceId": server.instance_id,
        "digest": server.digest,
    }
