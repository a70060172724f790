"""What happens to a stack when one thing is lost: computed from the topology, for hosts, zones and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topology.model import Server, Topology
from topology.names import Edge, Role

# Seconds, measured in rehearsals (two cores, three members) unless a source is named.
WRITES_AFTER_CRASH = 6.4  # mysqld killed: Group Replication detects silence in 5 s, then elects
WRITES_AFTER_HOST_LOSS = 7.5  # the same with the link gone
RESTART = 2.0  # systemd starts a killed service again
FLOATING_ADDRESS = 3.0  # VRRP 1 s, then ec2:AssociateAddress takes effect
NLB_HEALTH_CHECK = 10.0  # NLB takes a target out (Elastic Load Balancing guide: at best about 10 s)
DNS_FAILOVER = 90.0  # three Route 53 health checks 10 s apart, then a TTL of 60 s


@dataclass(frozen=True)
class Effect:
    """On one path (reads or writes): seconds without it, None for as long as the failure lasts. `share` of requests."""

    seconds: float | None
    why: str
    share: float = 1.0

    @property
    def severity(self) -> float:
        """Orders effects; one that lasts is worse than any number of seconds."""
        return float("inf") if self.seconds is None else self.seconds * self.share

    def __str__(self) -> str:
        if self.seconds == 0:
            return "go on"
        if self.seconds is None:
            return f"stop until it is mended: {self.why}"
        part = "" if self.share == 1.0 else f"1 in {round(1 / self.share)} requests, "
        return f"{part}{self.seconds:g} s: {self.why}"


_NONE = Effect(0, "")


@dataclass(frozen=True)
class Failure:
    """One thing lost, and what that does to reads and to writes."""

    event: str
    reads: Effect
    writes: Effect

    @property
    def single_point(self) -> bool:
        """Whether the site cannot serve reads or writes until someone mends it."""
        return self.reads.seconds is None or self.writes.seconds is None


@dataclass(frozen=True)
class Weakness:
    """A single point of failure, or a needless coincidence, and how to remove it."""

    text: str
    mend: str


def single_failures(topology: Topology) -> tuple[Failure, ...]:
    """Every host, every zone with more than one server, and every kind of program, lost alone."""
    found = [_failure(topology, f"host {server.name} lost", [server]) for server in topology.servers]
    for subnet in topology.subnets:
        inside = [server for server in topology.servers if server.subnet == subnet.name]
        if len(inside) > 1:
            found.append(_failure(topology, f"zone {subnet.zone} lost ({len(inside)} servers)", inside))
    return (*found, *_programs(topology))


def weaknesses(topology: Topology) -> tuple[Weakness, ...]:
    """Single points of failure and what else should be known before something breaks."""
    found: list[Weakness] = []
    found += _only_one(topology)
    lasting = [f for f in single_failures(topology) if f.single_point and f.event.startswith("zone")]
    found += [
        Weakness(f"{failure.event}: {failure.writes if failure.writes.seconds is None else failure.reads}.",
                 "Spread the servers over more zones: the majority of the database group must not share one.")
        for failure in lasting
    ]  # fmt: skip
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


def _only_one(topology: Topology) -> Iterable[Weakness]:
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
    if members and len(members) < 3:
        yield Weakness(
            f"The database group has {len(members)} member(s) and survives no loss: a majority of three is needed.",
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
    way_in = _way_in(topology, lost)
    application = _application(topology, lost)
    reads = _worst(way_in, application, _reader(topology, lost))
    writes = _worst(way_in, application, _writer(topology, lost))
    return Failure(event, reads, writes)


def _worst(*effects: Effect) -> Effect:
    return max(effects, key=lambda effect: effect.severity)


def _way_in(topology: Topology, lost: list[Server]) -> Effect:
    receiving = _receiving(topology)
    hit = [server for server in receiving if server in lost]
    if not hit:
        return _NONE
    if all(server in lost for server in topology.load_balancers):
        return Effect(None, "no load balancer is left")
    share = len(hit) / len(receiving)
    match topology.edge:
        case Edge.FLOATING_EIP:
            return Effect(FLOATING_ADDRESS, "the address moves to the next load balancer")
        case Edge.NLB:
            return Effect(NLB_HEALTH_CHECK, "the Network Load Balancer takes it out", share)
        case _:
            return Effect(DNS_FAILOVER, "Route 53 takes its record out", share)


def _application(topology: Topology, lost: list[Server]) -> Effect:
    # HAProxy retries on another server at once, so one lost application server costs no GET.
    return Effect(None, "no application server is left") if all(app in lost for app in topology.apps) else _NONE


def _reader(topology: Topology, lost: list[Server]) -> Effect:
    copies = (*topology.databases, *topology.read_replicas)
    if copies and all(server in lost for server in copies):
        return Effect(None, "no copy of the database is left")
    if _majority_lost(topology, lost) and not any(server not in lost for server in topology.read_replicas):
        return Effect(None, "the database group has no majority")
    return _NONE


def _writer(topology: Topology, lost: list[Server]) -> Effect:
    if _majority_lost(topology, lost):
        return Effect(None, "the database group has no majority")
    if any(server.name == topology.preferred_primary for server in lost):
        return Effect(WRITES_AFTER_HOST_LOSS, "the group elects a new primary")
    return _NONE


def _majority_lost(topology: Topology, lost: list[Server]) -> bool:
    members = topology.databases
    left = [member for member in members if member not in lost]
    return bool(members) and 2 * len(left) <= len(members)


def _programs(topology: Topology) -> Iterable[Failure]:
    for server in _receiving(topology)[:1]:
        effect = Effect(RESTART, "systemd starts it again")
        if topology.edge is not Edge.EIP and len(topology.load_balancers) > 1:
            effect = min(effect, _way_in(topology, [server]), key=lambda e: e.severity)
        yield Failure(f"HAProxy on {server.name} killed", effect, effect)
    for server in topology.apps[:1]:
        effect = _application(topology, [server])
        if effect.seconds is None:
            effect = Effect(RESTART, "systemd starts it again")
        yield Failure(f"application on {server.name} killed", effect, effect)
    members = topology.databases
    for server in members:
        if server.name == topology.preferred_primary:
            if len(members) >= 3:
                effect = Effect(WRITES_AFTER_CRASH, "the group elects a new primary")
                yield Failure("mysqld on the primary killed", _NONE, effect)
            else:
                effect = Effect(RESTART, "systemd starts it again, then the group forms")
                yield Failure("mysqld on the primary killed", effect, effect)
    if len(members) >= 3:
        yield Failure("mysqld on a replica killed", _NONE, _NONE)
