"""Tries every source x port x server of a running stack and compares with the declared flows."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from rehearsal import namespace
from rehearsal.daemon import Daemon
from rehearsal.router import HOST_LINK
from rehearsal.shell import RehearsalError
from topology import ports
from topology.flows import WORLD, Protocol, allowed, flows
from topology.model import Server, Topology
from topology.names import Edge

TIMEOUT = 1.5
"""Seconds without an answer that make a connection attempt blocked: the firewall drops without a word."""

PARALLEL = 48
EXTRA = (22, 33060)
"""Ports that are declared nowhere and must be closed: SSH and MySQL's X protocol."""


class Verdict(StrEnum):
    """What came of an attempt."""

    OPEN = "open"
    """The connection was made (or the packet arrived, for protocols without connections)."""
    REFUSED = "refused"
    """The firewall let it pass; nobody listens."""
    BLOCKED = "blocked"
    """Nothing came back."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: `source` is `world` or a server, `port` None for VRRP."""

    source: str
    destination: str
    protocol: str
    port: int | None
    declared: bool
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether the firewall let it pass."""
        return self.verdict is not Verdict.BLOCKED

    @property
    def as_declared(self) -> bool:
        """Whether what happened is what the table of flows says."""
        return self.passed == self.declared

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "as_declared": self.as_declared}


@dataclass(frozen=True)
class Question:
    """An attempt still to be made, to `address`."""

    source: str
    destination: str
    protocol: str
    port: int | None
    address: str
    declared: bool


def listening(name: str) -> set[int]:
    """TCP ports on which something listens in a namespace, loopback left out."""

    def read() -> set[int]:
        # /proc/thread-self/net is the network of the thread that opens it.
        rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
        found = set()
        for row in rows:
            local, _, state = row.split()[1:4]
            address, port = local.split(":")
            if state == "0A" and not address.endswith("7F"):
                found.add(int(port, 16))
        return found

    return namespace.within(name, read)


def questions(topology: Topology, public: dict[str, str], names: dict[str, str]) -> list[Question]:
    """Every attempt to make. `public` is server -> public address, `names` server -> namespace."""
    tcp = {flow.port for flow in flows(topology) if flow.protocol == "tcp" and flow.port} | set(EXTRA)
    for name in names.values():
        tcp |= listening(name)
    trials: list[tuple[str, int | None]] = [("tcp", port) for port in sorted(tcp)]
    trials += [("udp", ports.ALERTMANAGER_CLUSTER), ("vrrp", None)]
    result = []
    sources: list[Server | str] = [WORLD, *topology.servers]
    for destination in topology.servers:
        private = str(destination.address)
        for source in sources:
            if source is destination:
                continue  # a server's way to itself passes no firewall
            name = source if isinstance(source, str) else source.name
            address = public.get(destination.name, private) if name == WORLD else private
            reachable = name != WORLD or destination.name in public
            for protocol, port in trials:
                declared = reachable and declares(topology, source, destination, protocol, port)
                result.append(Question(name, destination.name, protocol, port, address, declared))
    return result


def declares(topology: Topology, source: Server | str, destination: Server, protocol: str, port: int | None) -> bool:
    """Whether the table of flows lets `source` (a server or `world`) in.

    The world is everybody, the stack's own servers included: what is open to it is open to a server that may go out
    to it on that port.
    """
    kind = cast("Protocol", protocol)
    if isinstance(source, str):
        # With the NLB, the world's way in goes through it, and a server has no public address of its own.
        return topology.edge is not Edge.NLB and allowed(topology, WORLD, destination, kind, port)
    outward = any(
        flow.source in source.roles and flow.destination == WORLD and flow.protocol == kind and flow.port == port
        for flow in flows(topology)
    )
    return allowed(topology, source, destination, kind, port) or (
        outward and allowed(topology, WORLD, destination, kind, port)
    )


def try_all(daemon: Daemon, topology: Topology) -> list[Attempt]:
    """Make every attempt from inside the namespaces of a running stack; takes a few seconds."""
    servers = daemon.ask("instances")["servers"]
    elastic: dict[str, str] = daemon.ask("elastic")["elastic"]
    by_private = {private: address for address, private in elastic.items()}
    public = {one["name"]: by_private[one["address"]] for one in servers if one["address"] in by_private}
    names = {one["name"]: daemon.paths.object_name(one["name"]) for one in servers if one["state"] == "running"}
    missing = [server.name for server in topology.servers if server.name not in names]
    if missing:
        raise RehearsalError(f"not running: {', '.join(missing)}; every server must be on")
    names[WORLD] = daemon.paths.object_name(WORLD)
    asked = questions(topology, public, {key: name for key, name in names.items() if key != WORLD})
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        verdicts = list(pool.map(lambda question: _try(question, names), asked))
    return [
        Attempt(one.source, one.destination, one.protocol, one.port, one.declared, verdict)
        for one, verdict in zip(asked, verdicts, strict=True)
    ]


def _try(question: Question, names: dict[str, str]) -> Verdict:
    source = names[question.source]
    if question.protocol == "tcp":
        assert question.port is not None  # noqa: S101  (TCP has ports)
        return _tcp(source, question.address, question.port)
    return _packet(source, names[question.destination], question)


def _tcp(source: str, address: str, port: int) -> Verdict:
    try:
        namespace.connect(source, address, port, timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return Verdict.REFUSED
    except OSError:
        return Verdict.BLOCKED
    return Verdict.OPEN


def _packet(source: str, destination: str, question: Question) -> Verdict:
    """Send one packet with a mark in it, and look whether it comes out at the other end's interface."""
    mark = f"tripod-flow-{threading.get_ident()}-{time.monotonic_ns()}".encode()
    sniffer = namespace.within(destination, _sniffer)
    with sniffer:
        namespace.within(source, lambda: _send(question, mark))
        deadline = time.monotonic() + TIMEOUT
        while (left := deadline - time.monotonic()) > 0:
            sniffer.settimeout(left)
            with contextlib.suppress(TimeoutError):
                if mark in sniffer.recv(65535):
                    return Verdict.OPEN
    return Verdict.BLOCKED


def _sniffer() -> socket.socket:
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sniffer.bind((HOST_LINK, 0))
    return sniffer


def _send(question: Question, mark: bytes) -> None:
    if question.protocol == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, (question.address, question.port or 0))
        return
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, ports.VRRP) as sender:
        # A VRRP version that nobody takes for an advertisement.
        sender.sendto(struct.pack("!B", 0xF0) + mark, (question.address, 0))


def show(attempts: list[Attempt], console: Console) -> None:
    """Print a table per server: a row per port, a column per source."""
    sources = sorted({one.source for one in attempts})
    kinds = sorted({(one.protocol, one.port or 0) for one in attempts})
    found = {(one.protocol, one.port or 0, one.source, one.destination): one for one in attempts}
    for destination in sorted({one.destination for one in attempts}):
        others = [source for source in sources if source != destination]
        table = Table(box=None, pad_edge=False, header_style="bold", title=f"to {destination}", title_justify="left")
        table.add_column("port", no_wrap=True)
        for source in others:
            table.add_column(source, justify="center", no_wrap=True)
        for protocol, port in kinds:
            cells = [_cell(found[protocol, port, source, destination]) for source in others]
            table.add_row(f"{protocol} {port or ''}".strip(), *cells)
        console.print(table)
        console.print()
    wrong = [one for one in attempts if not one.as_declared]
    unused = sum(one.verdict is Verdict.REFUSED for one in attempts)
    for one in wrong:
        what = "passes, and is declared nowhere" if one.passed else "is declared, and is blocked"
        console.print(
            f"[red]! {one.protocol} {one.port or ''} from {one.source} to {one.destination} {what}[/]", highlight=False
        )
    console.print("● open   ○ open, nobody listens   · closed   ! not as declared", highlight=False)
    console.print(
        f"{len(attempts)} attempts: {sum(one.passed for one in attempts)} pass ({unused} to a port where nobody "
        f"listens), {len(wrong)} not as declared.",
        highlight=False,
    )


def _cell(attempt: Attempt) -> str:
    if not attempt.as_declared:
        return "[red]![/]"
    return {Verdict.OPEN: "[green]●[/]", Verdict.REFUSED: "○", Verdict.BLOCKED: "[dim]·[/]"}[attempt.verdict]
