"""What happens to a stack when one thing is lost: computed from the topology, for hosts, zones and programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from operations.measured import Measured, Spread, last
from topology.model import Server, Topology
from topology.names import Edge, Role

# Seconds, where nothing was measured.
RESTART = 2.0  # systemd starts a killed service again
NLB_HEALTH_CHECK = 10.0  # NLB takes a target out (Elastic Load Balancing guide: at best about 10 s)
DNS_FAILOVER = 90.0  # three Route 53 health checks 10 s apart, then a TTL of 60 s
ESTIMATE = "estimate"


@dataclass(frozen=True)
class Effect:
    """An interruption: `share` of the requests fail for `seconds`.

    None: for as long as the failure lasts. 0: only what was in progress at that moment.
    """

    seconds: float | None
    why: str
    share: float = 1.0
    basis: str = ESTIMATE
    """Where `seconds` comes from."""

    @classmethod
    def of(cls, found: Measured, figure: str, why: str, *, stack: str, share: float = 1.0) -> Effect:
        """As last measured: the median of the drill's runs. `figure` is write_gap or read_gap.

        Says where it was measured, unless that was `stack` itself.
        """
        spread: Spread = getattr(found, figure)
        basis = f"worst of {found.runs}: {spread.worst:g} s" if found.runs > 1 else "measured once"
        return cls(spread.p50, why, share, basis if found.stack == stack else f"{basis}, on {found.stack}")

    def __str__(self) -> str:
        if self.seconds is None:
            return f"stop until it is mended: {self.why}"
        if not self.seconds:
            return f"new requests go on; {self.why}"
        if self.share == 1.0:
            return f"stop for {self.seconds:g} s ({self.basis}): {self.why}"
        most = "up to " if self.basis == ESTIMATE else ""
        part = f"about 1 in {round(1 / self.share)} requests fail"
        return f"{part} for {most}{self.seconds:g} s ({self.basis}): {self.why}"


# What one failure does on one path (reads or writes); empty when nobody notices.
Effects = tuple[Effect, ...]


def describe(effects: Effects) -> str:
    """All effects in words. Beside one that lasts, those that pass say nothing; beside these, those of a moment."""
    lasting = [effect for effect in effects if effect.seconds is None]
    passing = [effect for effect in effects if effect.seconds]
    return "; ".join(str(effect) for effect in lasting or passing or effects) or "go on"


@dataclass(frozen=True)
class Failure:
    """One thing lost, and what that does to reads and to writes."""

    event: str
    reads: Effects
    writes: Effects

    @property
    def lasting(self) -> Effects:
        """What stays broken until someone mends it: not empty means a single point of failure."""
        return tuple(effect for effect in (*self.reads, *self.writes) if effect.seconds is None)


@dataclass(frozen=True)
class Weakness:
    """A single point of failure, or a needless coincidence, and how to remove it."""

    text: str
    mend: str


def single_failures(topology: Topology) -> tuple[Failure, ...]:
    """Every host, every zone with more than one server, and every kind of program, lost alone."""
    found = [_failure(topology, f"host {server.name} lost", [server]) for server in topology.servers]
    return (*found, *_zones(topology), *_programs(topology))


def weaknesses(topology: Topology) -> tuple[Weakness, ...]:
    """Single points of failure and what else should be known before something breaks."""
    found: list[Weakness] = []
    found += _only_one(topology)
    for failure in _zones(topology):
        reasons = "; ".join(dict.fromkeys(effect.why for effect in failure.lasting))
        if reasons:
            mend = "Spread each role, and the majority of the database group, over more than one zone."
            found.append(Weakness(f"{failure.event}: {reasons}.", mend))
    primary = topology.server(topology.preferred_primary)
    one_address = topology.edge in (Edge.EIP, Edge.FLOATING_EIP)
    if one_address and primary in _receiving(topology) and len(topology.databases) > 1:
        found.append(
            Weakness(
                f"{primary.name} is the active load balancer and the preferred primary: losing this host costs both "
                "at once.",
                "Set preferredPrimary to a server that is not a load balancer.",
            )
        )
    return tuple(found)


def _only_one(topology: Topology) -> Iterator[Weakness]:
    balancers, apps, members = topology.load_balancers, topology.apps, topology.databases
    if len(balancers) == 1:
        yield Weakness(
            f"{balancers[0].name} is the only load balancer: while it is down, so is the site.",
            "Give a second server the role load_balancer with edge floating-eip, nlb or dns "
            "(the presets active-passive and active-active do).",
        )
    if len(apps) == 1:
        yield Weakness(
            f"{apps[0].name} is the only application server: while it is down, so is the site.",
            "Give a second server the role app.",
        )
    if len(members) == 1:
        yield Weakness(
            f"{members[0].name} is the only member of the database group: while it is down, so is the site.",
            "Give three servers the role database.",
        )
    monitors = topology.with_role(Role.MONITORING)
    if len(monitors) == 1:
        yield Weakness(
            f"{monitors[0].name} is the only monitoring server: while it is down, nothing raises an alert.",
            "Give a second server the role monitoring.",
        )


def _receiving(topology: Topology) -> tuple[Server, ...]:
    """Load balancers that get traffic while all is well."""
    return topology.load_balancers[:1] if topology.edge is Edge.FLOATING_EIP else topology.load_balancers


def _failure(topology: Topology, event: str, lost: list[Server]) -> Failure:
    reads = (*_way_in(topology, lost, "read_gap"), *_application(topology, lost), *_reader(topology, lost))
    writes = (
        *_way_in(topology, lost, "write_gap"),
        *_application(topology, lost),
        *_unanswered(topology, lost),
        *_writer(topology, lost),
    )
    return Failure(event, reads, writes)


def _zones(topology: Topology) -> Iterator[Failure]:
    for subnet in topology.subnets:
        inside = [server for server in topology.servers if server.subnet == subnet.name]
        if len(inside) > 1:
            yield _failure(topology, f"zone {subnet.zone} lost ({len(inside)} servers)", inside)


def _way_in(topology: Topology, lost: list[Server], figure: str) -> Effects:
    receiving = _receiving(topology)
    hit = [server for server in receiving if server in lost]
    if not hit:
        return ()
    if all(server in lost for server in topology.load_balancers):
        return (Effect(None, "no load balancer is left"),)
    share = len(hit) / len(receiving)
    match topology.edge:
        case Edge.FLOATING_EIP:
            # With an emulated EC2 API; a real one adds its own time.
            found = last("active-load-balancer-lost", topology.stack, topology.edge, only=True)
            return (Effect.of(found, figure, "the address moves to the next load balancer", stack=topology.stack),)
        case Edge.NLB:
            return (Effect(NLB_HEALTH_CHECK, "the Network Load Balancer takes it out", share),)
        case _:
            return (Effect(DNS_FAILOVER, "Route 53 takes its record out", share),)


def _application(topology: Topology, lost: list[Server]) -> Effects:
    # HAProxy retries on another server at once, so one lost application server costs no GET.
    left = any(app not in lost for app in topology.apps)
    return () if left else (Effect(None, "no application server is left"),)


def _unanswered(topology: Topology, lost: list[Server]) -> Effects:
    # Nobody can tell whether a POST was done, so HAProxy does not send it to another server.
    hit = any(app in lost for app in topology.apps)
    left = any(app not in lost for app in topology.apps)
    return (Effect(0, "a write in progress there may fail"),) if hit and left else ()


def _reader(topology: Topology, lost: list[Server]) -> Effects:
    copies = (*topology.databases, *topology.read_replicas)
    if copies and all(server in lost for server in copies):
        return (Effect(None, "no copy of the database is left"),)
    if _majority_lost(topology, lost):
        why = "the database group has no majority"
        if any(server not in lost for server in topology.read_replicas):
            why += f"; read replicas answer for {topology.replica_lag_seconds} s more"
        return (Effect(None, why),)
    return ()


def _writer(topology: Topology, lost: list[Server]) -> Effects:
    if _majority_lost(topology, lost):
        return (Effect(None, "the database group has no majority"),)
    if any(server.name == topology.preferred_primary for server in lost):
        found = last("host-lost", topology.stack, topology.edge)
        return (Effect.of(found, "write_gap", "the group elects a new primary", stack=topology.stack),)
    return ()


def _majority_lost(topology: Topology, lost: list[Server]) -> bool:
    members = topology.databases
    left = [member for member in members if member not in lost]
    return bool(members) and 2 * len(left) <= len(members)


def _programs(topology: Topology) -> Iterator[Failure]:
    """Programs killed while their host lives: systemd starts each again, unless something else is faster."""
    yield _haproxy(topology)
    for server in topology.apps[:1]:
        alone: Effects = (Effect(RESTART, "systemd starts it again"),) if len(topology.apps) == 1 else ()
        yield Failure(f"application on {server.name} killed", alone, (*alone, *_unanswered(topology, [server])))
    if len(topology.databases) >= 3:
        found = last("primary-killed", topology.stack, topology.edge)
        elected = (Effect.of(found, "write_gap", "the group elects a new primary", stack=topology.stack),)
        yield Failure("mysqld on the primary killed", (), elected)
        yield Failure("mysqld on a replica killed", (), ())
        if topology.read_replicas:
            # The others, members included, take its reads; only replication to it waits.
            yield Failure("mysqld on a read replica killed", (), ())
    elif topology.databases:
        restart = (Effect(RESTART, "systemd starts it again, then the group forms"),)
        yield Failure("mysqld on the primary killed", restart, restart)


def _haproxy(topology: Topology) -> Failure:
    receiving = _receiving(topology)
    # Where several receive, what was measured is the time until another answered. How long one is away shows only on a
    # stack where it receives everything.
    edge = topology.edge if topology.edge is Edge.FLOATING_EIP else Edge.EIP
    found = last("haproxy-killed", topology.stack, edge)
    reads, writes = (
        Effect.of(found, figure, "systemd starts it again", stack=topology.stack, share=1 / len(receiving))
        for figure in ("read_gap", "write_gap")
    )
    return Failure(f"HAProxy on {receiving[0].name} killed", (reads,), (writes,))
