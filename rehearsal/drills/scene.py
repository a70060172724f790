"""What a drill acts on: the stack and its watch, with the few things that most drills do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import Watch
from rehearsal.resources import Aws
from rehearsal.shell import RehearsalError, run, tool_environment
from topology.model import Server, Topology
from topology.names import Edge

BACK = 60.0
"""Seconds within which a site that survives answers again, far above every limit."""
SWITCHOVER_SECONDS = 120.0


def entrances(topology: Topology) -> tuple[Server, ...]:
    """Load balancers that all serve at the same time; none where one address leads to one of them."""
    return topology.load_balancers if topology.edge in (Edge.NLB, Edge.DNS) else ()


class Scene:
    """One run of one drill. What it breaks it also heals, also when something goes wrong meanwhile."""

    def __init__(self, stack: Stack, watch: Watch) -> None:
        self.stack = stack
        self.watch = watch
        self.broken_at = 0.0

    def mark(self, what: str) -> None:
        """Write down an event of this moment."""
        self.watch.mark(what)

    def broke(self, what: str) -> None:
        """Write down that something is broken from now on: the picture's time zero, and where waiting begins."""
        self.watch.mark(what)
        self.broken_at = time.monotonic()

    def observe(self, seconds: float) -> None:
        """Let the client go on for a while."""
        self.watch.observe(seconds)

    def writes_again(self, timeout: float = BACK) -> None:
        """Wait for a write that began after the fault, and mark it."""
        self.watch.wait_for_writes(self.broken_at, timeout)
        self.mark("writes acknowledged")

    def reads_again(self, timeout: float = BACK) -> None:
        """Wait for a read that began after the fault, and mark it."""

        def answered() -> bool:
            return any(row.kind == "read" and row.ok and row.start > self.broken_at for row in self.watch.requests())

        wait_until("a read is answered", answered, timeout=timeout, details=self.stack.journals)
        self.mark("reads answered")

    def require(self, what: str, predicate: Callable[[], bool], timeout: float) -> None:
        """Wait until something is true, and mark it. Not in time is a fault of the stack."""
        wait_until(what, predicate, timeout=timeout)
        self.mark(what)

    # -- who is where

    def holder(self) -> str:
        """The load balancer that a public address leads to; the first one where the edge is a service of AWS."""
        behind = self.stack.elastic().values()
        balancers = self.stack.topology.load_balancers
        return next((server.name for server in balancers if str(server.address) in behind), balancers[0].name)

    def spare_app(self) -> str:
        """An application server, if there is a choice neither a load balancer that serves now nor the primary."""
        names = [server.name for server in self.stack.topology.apps]
        serving = {self.holder(), *(server.name for server in entrances(self.stack.topology))}
        primary = self.stack.primary()
        return min(names, key=lambda name: ((name in serving) * 2 + (name == primary), names.index(name)))

    def lead_from(self, wanted: Callable[[str], bool]) -> str:
        """Make a database server that fulfils `wanted` the primary, before anything is broken; return its name.

        Raises RehearsalError when none does.
        """
        primary = self.stack.primary()
        if wanted(primary):
            return primary
        target = next((server for server in self.stack.databases if wanted(server)), None)
        if target is None:
            raise RehearsalError("no database server of this stack is where this drill needs the primary")
        self.switchover(target)
        return target

    # -- what can be broken

    def units(self, server: str, signal: str, *units: str) -> None:
        """Send a signal (as `SIGKILL`) to every process of units on a server."""
        self.stack.exec(server, "systemctl", "kill", f"--signal={signal}", "--kill-whom=all", *units)

    @contextmanager
    def stopped(self, server: str, unit: str) -> Iterator[None]:
        """A unit's processes stand still (SIGSTOP) for the block."""
        self.units(server, "SIGSTOP", unit)
        self.broke(f"{unit.removesuffix('.service')} of {server} hangs")
        try:
            yield
        finally:
            self.units(server, "SIGCONT", unit)
            self.mark(f"{unit.removesuffix('.service')} of {server} goes on")

    @contextmanager
    def without_power(self, *servers: str) -> Iterator[None]:
        """Servers are off, as in a power cut, for the block."""
        self.broke(f"{' and '.join(servers)} lose{'s' if len(servers) == 1 else ''} power")
        self.stack.power("kill", *servers)
        try:
            yield
        finally:
            self.mark(f"{' and '.join(servers)} switched on")
            self.stack.power("start", *servers)

    @contextmanager
    def fault(self, what: str, action: str, *arguments: object) -> Iterator[None]:
        """The fabric has a fault for the block."""
        self.stack.fault(action, *arguments)
        self.broke(what)
        try:
            yield
        finally:
            self.stack.fault("heal")
            self.mark("network healed")

    def switchover(self, target: str) -> str:
        """Run the operators' command for a planned switchover; return what it said last."""
        words = ["switchover", "--stack", self.stack.name, "--to", target, "--timeout", str(SWITCHOVER_SECONDS)]
        return self.operations(*words).splitlines()[-1]

    def operations(self, *words: str) -> str:
        """Run `python -m operations` against the emulated AWS, as an operator would; return what it printed."""
        command = [sys.executable, "-m", "operations", *words]
        environment = {**tool_environment(), **self.aws().environment, "PYTHONPATH": str(ROOT)}
        return run(command, timeout=SWITCHOVER_SECONDS + 30, environment=environment).stdout.strip()

    def aws(self) -> Aws:
        """The emulated AWS of this stack."""
        answer = self.stack.daemon.ask("ping")
        return Aws(answer["endpoint"], answer["region"], ROOT, lambda _: None)

    @property
    def floats(self) -> bool:
        """Whether the stack's address moves between load balancers."""
        return self.stack.topology.edge is Edge.FLOATING_EIP
