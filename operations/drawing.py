"""The drawing of a stack: one column a server, one row of boxes a layer, from the world down to the monitoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from topology import ports
from topology.flows import app_port
from topology.model import Server, Topology
from topology.names import Edge, Role

GUTTER = 20
COLUMN = 20
_BOX = 18

# Box-drawing characters by the sides on which a line leaves: up, down, left, right.
_JOINTS = {
    (1, 1, 0, 0): "│", (0, 0, 1, 1): "─", (0, 1, 0, 1): "┌", (0, 1, 1, 0): "┐", (1, 0, 0, 1): "└", (1, 0, 1, 0): "┘",
    (1, 1, 0, 1): "├", (1, 1, 1, 0): "┤", (0, 1, 1, 1): "┬", (1, 0, 1, 1): "┴", (1, 1, 1, 1): "┼",
    (0, 0, 0, 0): " ", (1, 0, 0, 0): "╵", (0, 1, 0, 0): "╷", (0, 0, 1, 0): "╴", (0, 0, 0, 1): "╶",
}  # fmt: skip

EDGE_NAMES = {
    Edge.EIP: "Elastic IP",
    Edge.FLOATING_EIP: "Elastic IP that moves",
    Edge.NLB: "Network Load Balancer",
    Edge.DNS: "Route 53, health-checked",
}


def draw(topology: Topology, width: int = 110) -> str:
    """The drawing, in lines of at most `width` characters (at least one server is drawn in each block)."""
    per_block = max(1, (width - GUTTER) // COLUMN)
    servers = topology.servers
    blocks = [servers[start : start + per_block] for start in range(0, len(servers), per_block)]
    return "\n\n".join(_block(topology, block) for block in blocks)


def _block(topology: Topology, servers: Sequence[Server]) -> str:
    active = topology.load_balancers[:1] if topology.edge is Edge.FLOATING_EIP else topology.load_balancers

    def balancer(server: Server) -> str:
        return "HAProxy" if server in active else "HAProxy, standby"

    def database(server: Server) -> str:
        if not server.has(Role.DATABASE):
            return "read replica"
        return "primary" if server.name == topology.preferred_primary else "replica"

    data = (Role.DATABASE, Role.READ_REPLICA)
    port = app_port(topology)
    lines = [
        _row("server", [s.name for s in servers]),
        _row("zone", [s.zone for s in servers]),
        _row("address", [str(s.address) for s in servers]),
        "",
        _row("world", [""] * len(servers)),
        _row(EDGE_NAMES[topology.edge], [""] * len(servers)),
        *_wires(servers, [], active, f"tcp {ports.HTTP}, {ports.HTTPS}"),
        *_boxes("load balancer", servers, (Role.LOAD_BALANCER,), balancer),
        *_wires(servers, _having(servers, Role.LOAD_BALANCER), _having(servers, Role.APP), f"tcp {port}"),
        *_boxes("application", servers, (Role.APP,), lambda _: "application"),
        *_wires(servers, _having(servers, Role.APP), _having(servers, *data), f"tcp {ports.MYSQL}"),
        *_boxes("database", servers, data, database),
        *_boxes("monitoring", servers, (Role.MONITORING,), lambda _: "Prometheus"),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _having(servers: Iterable[Server], *roles: Role) -> list[Server]:
    return [server for server in servers if any(server.has(role) for role in roles)]


def _row(title: str, cells: Sequence[str]) -> str:
    # A title may run on over empty cells; a cell never touches its neighbour.
    body = "".join(f"{cell[: COLUMN - 1]:<{COLUMN}}" for cell in cells)
    return f"{title:<{GUTTER}}{body}" if len(title) < GUTTER or body.strip() else title


def _boxes(title: str, servers: Sequence[Server], roles: tuple[Role, ...], label: Callable[[Server], str]) -> list[str]:
    if not _having(servers, *roles):
        return []
    inside = _BOX - 2
    rows: list[list[str]] = [[], [], []]
    for server in servers:
        if not any(server.has(role) for role in roles):
            cells = ["", "", ""]
        else:
            cells = [f"┌{'─' * inside}┐", f"│{label(server):^{inside}}│", f"└{'─' * inside}┘"]
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return [_row(name, row) for name, row in zip(("", title, ""), rows, strict=True)]


def _wires(
    servers: Sequence[Server], sources: Sequence[Server], destinations: Sequence[Server], label: str
) -> list[str]:
    ups = {_centre(servers, server) for server in sources}
    downs = {_centre(servers, server) for server in destinations if server in servers}
    if not downs:
        return []
    # Without a source in the picture the line comes from the left, where the world is.
    start = GUTTER if not ups else min(ups | downs)
    end = max(ups | downs)
    bus = [" "] * (end + 1)
    for column in range(start, end + 1):
        left, right = column > start or not ups, column < end
        sides = (column in ups, column in downs, left and end > start, right and end > start)
        bus[column] = _JOINTS[(int(sides[0]), int(sides[1]), int(sides[2]), int(sides[3]))]
    heads = "".join("▼" if column in downs else " " for column in range(end + 1))
    title = f"{label:<{GUTTER}}" if ups else f"{label} ".ljust(GUTTER, "─")
    return [title + "".join(bus)[GUTTER:], heads]


def _centre(servers: Sequence[Server], server: Server) -> int:
    return GUTTER + list(servers).index(server) * COLUMN + _BOX // 2
