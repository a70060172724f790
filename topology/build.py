"""From settings to a checked topology: where each server stands, and everything that cannot work, said at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from topology.checks import check_settings
from topology.instance_types import architecture
from topology.model import Alerts, Application, Backup, Server, Subnet, Tls, Topology
from topology.names import Role
from topology.presets import PRESETS
from topology.problems import ConfigurationError, Problem
from topology.settings import ServerSettings, Settings

# How many zones a stack uses unless `zones` says otherwise: one for each vote of the smallest group.
DEFAULT_ZONES = 3

# The VPC is cut into 16 subnets, one a zone; AWS allows subnets of /28 to /16.
SUBNET_BITS = 4

# AWS reserves the first four addresses of a subnet and its last one (VPC user guide, "Subnet sizing").
RESERVED_FIRST = 4

# server-1 gets .10 of its subnet, which leaves room for addresses chosen by hand below.
FIRST_NUMBERED = 9


def build_topology(settings: Settings, *, stack: str, region: str, zones: Sequence[str] | None = None) -> Topology:
    """The topology of `stack`, checked as a whole.

    `zones` are the names of the region's zones, in order; None when they cannot be asked for, then
    `zones` of the settings is taken on trust. Raises ConfigurationError with every problem found.
    """
    problems: list[Problem] = []
    wanted = _zones(settings, region, zones, problems)
    network = _network(settings, problems)
    subnets = _subnets(network or _STAND_IN, wanted)
    specs = settings.servers or [
        ServerSettings(name=name, roles=list(roles)) for name, roles in PRESETS[settings.preset].servers.items()
    ]
    edge = settings.edge or PRESETS[settings.preset].edge
    placing: list[Problem] = []
    servers = _servers(settings, specs, subnets, placing) if subnets else ()
    # Where a server stands can be told without the network, its address cannot.
    problems += placing if network else [problem for problem in placing if problem.key.endswith(".zone")]
    primary = settings.preferred_primary or _default_primary(settings, specs)
    problems += check_settings(settings, stack=stack, specs=specs, edge=edge, primary=primary)
    if problems or network is None:
        raise ConfigurationError(problems, stack)
    return Topology(
        stack=stack,
        region=region,
        network_cidr=network,
        subnets=subnets,
        servers=servers,
        edge=edge,
        preferred_primary=primary,
        domain=settings.domain,
        hosted_zone_id=settings.hosted_zone_id,
        tls=Tls(settings.tls.mode, settings.tls.certificate_parameter, settings.tls.key_parameter),
        backup=Backup(**settings.backup.model_dump()),
        application=Application(**settings.application.model_dump()) if settings.application else None,
        alerts=Alerts(settings.alerts.minimum_severity, settings.alerts.repeat_hours),
        image=settings.image,
        architecture=architecture(servers[0].instance_type),
        tags=dict(settings.tags),
        replica_lag_seconds=settings.replica_lag_seconds,
    )


def _zones(settings: Settings, region: str, available: Sequence[str] | None, problems: list[Problem]) -> list[str]:
    if not settings.zones:
        if available is None:
            return [f"{region}{letter}" for letter in "abc"]
        if not available:
            problems.append(Problem("zones", f"region {region} offers no zone", "Choose another aws:region"))
        return list(available[:DEFAULT_ZONES])
    wanted = list(settings.zones)
    twice = sorted({zone for zone in wanted if wanted.count(zone) > 1})
    problems += [Problem("zones", f"zone {zone} is listed twice", "List each zone once") for zone in twice]
    for index, zone in enumerate(wanted):
        # A letter: Local and Wavelength Zones have longer names, and are not among those that AWS is asked for.
        known = zone in available if available is not None else re.fullmatch(rf"{re.escape(region)}[a-z]", zone)
        if not known:
            mend = f"Use some of: {', '.join(available)}" if available else f"Write names such as {region}a"
            problems.append(Problem(f"zones[{index}]", f"there is no zone '{zone}' in region {region}", mend))
    if len(wanted) > 2**SUBNET_BITS:
        problems.append(Problem("zones", f"{len(wanted)} zones are too many", f"Use at most {2**SUBNET_BITS}"))
    return wanted[: 2**SUBNET_BITS]


def _network(settings: Settings, problems: list[Problem]) -> IPv4Network | None:
    mend = "Use a private range (RFC 1918) of /16 to /24 such as 10.20.0.0/16"
    try:
        network = IPv4Network(settings.network_cidr)
    except ValueError as error:
        problems.append(Problem("networkCidr", f"'{settings.network_cidr}' is not a network ({error})", mend))
        return None
    if not 16 <= network.prefixlen <= 24 or not any(network.subnet_of(private) for private in _PRIVATE):
        problems.append(Problem("networkCidr", f"{network} cannot be used", mend))
        return None
    return network


_STAND_IN = IPv4Network("10.20.0.0/16")
_PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def _subnets(network: IPv4Network, zones: Sequence[str]) -> tuple[Subnet, ...]:
    blocks = network.subnets(prefixlen_diff=SUBNET_BITS)
    return tuple(
        Subnet(name=f"zone-{number}", zone=zone, cidr=block)
        for number, (zone, block) in enumerate(zip(zones, blocks, strict=False), start=1)
    )


def _number(name: str) -> int | None:
    match = re.search(r"(\d{1,6})$", name)
    return int(match.group(1)) if match else None


def _servers(
    settings: Settings, specs: Sequence[ServerSettings], subnets: tuple[Subnet, ...], problems: list[Problem]
) -> tuple[Server, ...]:
    servers: list[Server] = []
    taken: dict[IPv4Address, str] = {}
    for index, spec in enumerate(specs):
        key = f"servers[{index}]"
        subnet = _subnet(key, spec, subnets, problems)
        address = _address(key, spec, subnet, problems) if subnet else None
        if subnet is None or address is None:
            continue
        if address in taken:
            found = f"{spec.name} would have the address {address} of {taken[address]}"
            mend = "Give one of them another number at the end of its name, or an 'address' of its own"
            problems.append(Problem(f"{key}.address", found, mend))
        taken.setdefault(address, spec.name)
        servers.append(
            Server(
                name=spec.name,
                roles=tuple(role for role in Role if role in spec.roles),
                zone=subnet.zone,
                subnet=subnet.name,
                address=address,
                instance_type=spec.instance_type or settings.instance_type,
                root_volume_gib=spec.root_volume_gib or settings.root_volume_gib,
                data_volume_gib=spec.data_volume_gib or settings.data_volume_gib,
            )
        )
    return tuple(servers)


def _subnet(key: str, spec: ServerSettings, subnets: tuple[Subnet, ...], problems: list[Problem]) -> Subnet | None:
    if spec.zone is None:
        number = _number(spec.name)
        if number is not None:
            return subnets[(number - 1) % len(subnets)]
        by, more = ("a zone", "") if spec.address else ("a zone and an address", ", and an 'address' in it")
        found = f"{spec.name} has no number at its end to choose {by} by"
        problems.append(Problem(f"{key}.zone", found, f"Name a zone ({', '.join(s.zone for s in subnets)}){more}"))
        return None
    for subnet in subnets:
        if subnet.zone == spec.zone:
            return subnet
    found = f"zone '{spec.zone}' is not one of the stack's zones"
    problems.append(Problem(f"{key}.zone", found, f"Use one of: {', '.join(s.zone for s in subnets)}"))
    return None


def _address(key: str, spec: ServerSettings, subnet: Subnet, problems: list[Problem]) -> IPv4Address | None:
    first, last = subnet.cidr[RESERVED_FIRST], subnet.cidr[-2]
    mend = f"Use a free address from {first} to {last} ({subnet.zone})"
    if spec.address is None:
        number = _number(spec.name)
        if number is None:
            found = f"{spec.name} has no number at its end to choose an address by"
            problems.append(Problem(f"{key}.address", found, mend))
            return None
        offset = FIRST_NUMBERED + number
        if offset > subnet.cidr.num_addresses - 2:
            found = f"the number of {spec.name} is too large for {subnet.cidr}"
            problems.append(Problem(f"{key}.name", found, "Use a smaller number or a larger networkCidr"))
            return None
        return subnet.cidr[offset]
    try:
        address = IPv4Address(spec.address)
    except ValueError:
        problems.append(Problem(f"{key}.address", f"'{spec.address}' is not an IPv4 address", mend))
        return None
    if not first <= address <= last:
        problems.append(Problem(f"{key}.address", f"{address} is not usable in zone {subnet.zone}", mend))
        return None
    return address


def _default_primary(settings: Settings, specs: Sequence[ServerSettings]) -> str:
    if not settings.servers:
        return PRESETS[settings.preset].preferred_primary
    members = [spec for spec in specs if Role.DATABASE in spec.roles]
    # Away from the load balancers where that is possible: one lost host then costs one thing.
    apart = [spec for spec in members if Role.LOAD_BALANCER not in spec.roles]
    return next((spec.name for spec in apart + members), "")
