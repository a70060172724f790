"""The nodes of the emulated API's Network Load Balancers, read from moto."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rehearsal.proxy_protocol import Endpoint
from rehearsal.target_health import HealthCheck, TargetGroup

PUBLIC_NUMBERS = range(2, 10)
"""Last bytes of the nodes' public addresses, below those of the Elastic IPs."""
NODE_OFFSET = -6
"""A node's place in its subnet, from the end: servers are counted from the beginning."""

Listeners = Mapping[int, TargetGroup]
"""Port -> where its connections go."""


@dataclass(frozen=True)
class NodeSpec:
    """A node as it should be: its name in the fabric, its addresses, its subnet and what it listens for."""

    name: str
    address: str
    public: str
    subnet_cidr: str
    groups: tuple[str, ...]
    """Security groups of its load balancer."""
    dns_name: str
    """Name of its load balancer, which has an address record for every node."""
    listeners: Listeners


def read(backend: Any) -> dict[str, NodeSpec]:
    """Every node of every load balancer of moto's ELBv2 back end, by name: one in each subnet.

    Raises ValueError when there are more nodes than public addresses.
    """
    found: dict[str, NodeSpec] = {}
    numbers = iter(PUBLIC_NUMBERS)
    for index, balancer in enumerate(backend.load_balancers.values()):
        if balancer.type != "network":
            continue
        listeners = dict(_listeners(backend, balancer))
        cross_zone = str(balancer.attrs.get("load_balancing.cross_zone.enabled")).lower() == "true"
        for subnet in balancer.subnets:
            number = next(numbers, None)
            if number is None:
                raise ValueError(f"the rehearsal has {len(PUBLIC_NUMBERS)} addresses for nodes of load balancers")
            network = ipaddress.IPv4Network(subnet.cidr_block)
            name = f"nlb-{subnet.availability_zone}" if index == 0 else f"nlb{index}-{subnet.availability_zone}"
            found[name] = NodeSpec(
                name=name,
                address=str(network[NODE_OFFSET - index]),
                public=f"203.0.113.{number}",
                subnet_cidr=subnet.cidr_block,
                groups=tuple(balancer.security_groups or ()),
                dns_name=balancer.dns_name,
                listeners=listeners if cross_zone else _of_zone(listeners, network),
            )
    return found


def _of_zone(listeners: Listeners, network: ipaddress.IPv4Network) -> Listeners:
    """Without cross-zone load balancing a node uses the targets of its own zone only."""
    return {
        port: replace(
            group, targets=tuple(target for target in group.targets if ipaddress.IPv4Address(target[0]) in network)
        )
        for port, group in listeners.items()
    }


def _listeners(backend: Any, balancer: Any) -> Iterable[tuple[int, TargetGroup]]:
    for listener in balancer.listeners.values():
        for action in listener.default_actions:
            arn = action.data.get("TargetGroupArn")
            if action.type == "forward" and arn in backend.target_groups:
                yield int(listener.port), _group(backend, backend.target_groups[arn])


def _group(backend: Any, group: Any) -> TargetGroup:
    def enabled(attribute: str, *, default: bool) -> bool:
        return str(group.attributes.get(attribute, default)).lower() == "true"

    port = group.health_check_port
    return TargetGroup(
        arn=group.arn,
        targets=tuple(endpoint(backend, target) for target in group.targets.values()),
        check=HealthCheck(
            protocol=str(group.health_check_protocol),
            port=int(port) if str(port).isdigit() else None,
            path=group.health_check_path or "/",
            matcher=str((getattr(group, "matcher", None) or {}).get("HttpCode") or "200-399"),
            interval=float(group.health_check_interval_seconds),
            timeout=float(group.health_check_timeout_seconds),
            healthy=int(group.healthy_threshold_count),
            unhealthy=int(group.unhealthy_threshold_count),
        ),
        proxy_protocol=enabled("proxy_protocol_v2.enabled", default=False),
        drain=float(group.attributes["deregistration_delay.timeout_seconds"]),
        close_when_drained=enabled("deregistration_delay.connection_termination.enabled", default=False),
        close_when_unhealthy=enabled("target_health_state.unhealthy.connection_termination.enabled", default=True),
    )


def endpoint(backend: Any, target: Mapping[str, Any]) -> Endpoint:
    """Where a registered target is: an address, or the instance whose it is."""
    address = str(target["Id"])
    if address.startswith("i-"):
        address = str(backend.ec2_backend.get_instance(address).private_ip)
    return address, int(target["Port"])
