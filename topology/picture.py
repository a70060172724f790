"""The picture of a topology as SVG: one column a server, one row a role, a line for every flow that carries data.

What has a state of its own is marked, so that a page can show it: `data-server` on a server's box, `data-server` and
`data-role` on what it does, `data-from` and `data-to` (as `SERVER/ROLE`, or `edge`) on lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from topology.flows import flows
from topology.model import Server, Topology
from topology.names import Edge, Role

COLUMN, GAP, LEFT = 220, 24, 24
ROW, CHIP_HEIGHT, CHIP_WIDTH = 92, 44, 176
TOP, PAD, FOOTER, LEGEND = 140, 24, 56, 62

LABELS = {
    Role.LOAD_BALANCER: ("load balancer", "HAProxy"),
    Role.APP: ("application", "guestbook, or yours"),
    Role.DATABASE: ("database", "MySQL Group Replication"),
    Role.READ_REPLICA: ("read replica", "MySQL, asynchronous"),
    Role.MONITORING: ("monitoring", "Prometheus"),
}
EDGES = {
    Edge.EIP: "Elastic IP",
    Edge.FLOATING_EIP: "Elastic IP that moves",
    Edge.NLB: "Network Load Balancer",
    Edge.DNS: "Route 53 records",
}

STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2937; }
    .title { font-size: 15px; font-weight: 600; }
    .small { font-size: 12px; fill: #5b6472; }
    .name { font-size: 13px; font-weight: 600; }
    .server { fill: #f8fafc; stroke: #cbd5e1; }
    .edge { fill: #fff7ed; stroke: #ea9a4b; }
    .chip { stroke-width: 1.5; }
    .load_balancer { fill: #fff7ed; stroke: #ea9a4b; }
    .app { fill: #eff6ff; stroke: #6095e0; }
    .database { fill: #ecfdf5; stroke: #3fa27a; }
    .read_replica { fill: #f3faf6; stroke: #8cc7ad; }
    .monitoring { fill: #f5f3ff; stroke: #9d86d8; }
    .primary { stroke-width: 3.5; }
    .line { fill: none; stroke-width: 1.6; }
    .requests { stroke: #ea9a4b; }
    .writes { stroke: #2f855a; stroke-width: 2.4; }
    .reads { stroke: #8cc7ad; stroke-dasharray: 5 4; }
    .group { stroke: #2f855a; stroke-width: 5; stroke-opacity: 0.35; }
"""


def draw(topology: Topology, *, styled: bool = True) -> str:
    """The SVG text of a topology, the same for the same topology; unstyled for a page that brings its own style."""
    return "\n".join(Picture(topology).elements(styled=styled)) + "\n"


class Picture:
    """Where everything of one topology stands. Lengths are in SVG units, which are pixels at 100 %."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.rows = [role for role in Role if topology.with_role(role)]
        self.columns = {server.name: index for index, server in enumerate(topology.servers)}
        self.width = LEFT * 2 + len(self.columns) * (COLUMN + GAP) - GAP
        self.bottom = TOP + PAD + len(self.rows) * ROW - (ROW - CHIP_HEIGHT) + FOOTER
        self.height = self.bottom + LEGEND
        self.carried = {(flow.source, flow.destination) for flow in flows(topology)}

    def elements(self, *, styled: bool = True) -> Iterator[str]:
        """Every element in painting order: boxes, lines over them, chips over the lines."""
        servers = "1 server" if len(self.columns) == 1 else f"{len(self.columns)} servers"
        title = f"Topology of {self.topology.stack}: {servers}"
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">'
        )
        yield f"  <title>{escape(title)}</title>"
        if styled:
            yield f"  <style>{STYLE}  </style>"
            yield f'  <rect width="{self.width}" height="{self.height}" rx="12" fill="#ffffff"/>'
        for server in self.topology.servers:
            yield from self.box(server)
        yield from self.group()
        yield from self.ways_in()
        yield from self.data()
        for server in self.topology.servers:
            yield from self.chips(server)
        yield from self.legend()
        yield "</svg>"

    def center(self, server: Server) -> int:
        """Middle of a server's column."""
        return LEFT + self.columns[server.name] * (COLUMN + GAP) + COLUMN // 2

    def row(self, role: Role) -> int:
        """Top of a role's chips."""
        return TOP + PAD + self.rows.index(role) * ROW

    def box(self, server: Server) -> Iterator[str]:
        """The server itself, with its zone and address."""
        x, middle = self.center(server) - COLUMN // 2, self.center(server)
        mark, size = f'data-server="{server.name}"', f'width="{COLUMN}" height="{self.bottom - TOP}"'
        yield f'  <rect class="server" {mark} x="{x}" y="{TOP}" {size} rx="10"/>'
        yield text(middle, self.bottom - 28, "title", server.name)
        yield text(middle, self.bottom - 11, "small", f"{server.zone}, {server.address}")

    def ways_in(self) -> Iterator[str]:
        """The world, the edge, and the lines to the load balancers that the world may reach."""
        middle = self.width // 2
        yield text(middle, 30, "title", "visitors")
        yield f'  <path class="line requests" d="M {middle} 38 V 66"/>'
        yield text(middle + 8, 57, "small", "HTTPS", anchor="start")
        width = 210
        yield f'  <rect class="edge" x="{middle - width // 2}" y="66" width="{width}" height="36" rx="18"/>'
        yield text(middle, 89, "name", EDGES[self.topology.edge])
        active, *standby = self.topology.load_balancers
        for server in (active, *standby):
            # One address is at one load balancer at a time; the others stand by.
            waits = server is not active and self.topology.edge is Edge.FLOATING_EIP
            dashes = ' stroke-dasharray="3 5"' if waits else ""
            marks = f' data-from="edge" data-to="{server.name}/{Role.LOAD_BALANCER.value}"{dashes}'
            yield curve("requests", middle, 102, self.center(server), self.row(Role.LOAD_BALANCER), marks)

    def data(self) -> Iterator[str]:
        """Requests to applications, writes to the primary, reads from every database server."""
        if (Role.LOAD_BALANCER, Role.APP) in self.carried:
            yield from self.lines("requests", Role.LOAD_BALANCER, self.topology.apps, Role.APP)
        for role, servers in (
            (Role.DATABASE, self.topology.databases),
            (Role.READ_REPLICA, self.topology.read_replicas),
        ):
            if (Role.APP, role) in self.carried:
                replicas = [server for server in servers if server.name != self.topology.preferred_primary]
                yield from self.lines("reads", Role.APP, replicas, role)
        primary = self.topology.server(self.topology.preferred_primary)
        yield from self.lines("writes", Role.APP, [primary], Role.DATABASE)

    def lines(self, kind: str, source: Role, servers: list[Server] | tuple[Server, ...], to: Role) -> Iterator[str]:
        """From every server of one role to each of `servers`."""
        for start in self.topology.with_role(source):
            for end in servers:
                y = self.row(source) + CHIP_HEIGHT
                marks = f' data-from="{start.name}/{source.value}" data-to="{end.name}/{to.value}"'
                yield curve(kind, self.center(start), y, self.center(end), self.row(to), marks)

    def group(self) -> Iterator[str]:
        """The bond between the members of the MySQL group."""
        members = self.topology.databases
        y = self.row(Role.DATABASE) + CHIP_HEIGHT // 2
        yield f'  <path class="line group" d="M {self.center(members[0])} {y} H {self.center(members[-1])}"/>'

    def chips(self, server: Server) -> Iterator[str]:
        """What the server does."""
        for role in server.roles:
            primary = role is Role.DATABASE and server.name == self.topology.preferred_primary
            name, program = LABELS[role]
            name = "primary database" if primary else "replica database" if role is Role.DATABASE else name
            x, y = self.center(server) - CHIP_WIDTH // 2, self.row(role)
            classes = f"chip {role.value}{' primary' if primary else ''}"
            size = f'width="{CHIP_WIDTH}" height="{CHIP_HEIGHT}" rx="8"'
            yield f'  <g data-server="{server.name}" data-role="{role.value}">'
            yield f'  <rect class="{classes}" x="{x}" y="{y}" {size}/>'
            yield text(self.center(server), y + 19, "name", name)
            yield text(self.center(server), y + 35, "small", program)
            yield "  </g>"

    def legend(self) -> Iterator[str]:
        """What the lines mean."""
        x, y = LEFT, self.height - 26
        meanings = (("requests", 80), ("writes", 60), ("reads", 60), ("group", 160))
        for kind, length in meanings:
            meaning = "one group, with a quorum" if kind == "group" else kind
            yield f'  <path class="line {kind}" d="M {x} {y} h 34"/>'
            yield text(x + 42, y + 4, "small", meaning, anchor="start")
            x += 42 + length + 12
        if (Role.MONITORING, Role.DATABASE) in self.carried:
            yield text(x, y + 4, "small", "monitoring watches all", anchor="start")


def text(x: int, y: int, style: str, content: str, anchor: str = "middle") -> str:
    """One line of text."""
    return f'  <text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'


def curve(kind: str, x1: int, y1: int, x2: int, y2: int, more: str = "") -> str:
    """A line that leaves and arrives upright."""
    bend = (y1 + y2) // 2
    return f'  <path class="line {kind}" d="M {x1} {y1} C {x1} {bend}, {x2} {bend}, {x2} {y2}"{more}/>'
