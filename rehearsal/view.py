"""What the emulated AWS wants to be real, read in one go: the desired state of the reconciler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rehearsal.balancer_spec import NodeSpec
from rehearsal.firewall_rules import HostRules
from rehearsal.firewall_rules import Rule as HostRule
from topology.names import TAG_SERVER

HTTPS = 443


@dataclass(frozen=True)
class GroupRule:
    """A rule of a security group: its peer is another group or a CIDR."""

    protocol: str
    from_port: int | None
    to_port: int | None
    group: str | None
    cidr: str | None


@dataclass(frozen=True)
class Group:
    """A security group."""

    ingress: tuple[GroupRule, ...]
    egress: tuple[GroupRule, ...]


@dataclass(frozen=True)
class Disk:
    """A volume of an instance; `size` in GiB."""

    id: str
    size: int


@dataclass(frozen=True)
class Instance:
    """An instance as the API shows it. `state` is EC2's: pending, running, stopping, stopped, terminated, ..."""

    id: str
    state: str
    address: str
    subnet_cidr: str
    zone: str
    region: str
    image: str
    type: str
    mac: str
    interface: str
    subnet: str
    vpc: str
    vpc_cidr: str
    groups: tuple[str, ...]
    user_data: bytes
    role: str | None
    profile_arn: str | None
    tokens_required: bool
    metadata_enabled: bool
    hop_limit: int
    tags: Mapping[str, str]
    tags_in_metadata: bool
    launched: str
    """When it was launched, ISO 8601; a stopped instance that starts again keeps it."""
    power_cycles: int = 0
    """How often the API started it again or rebooted it."""
    root: Disk | None = None
    disks: tuple[Disk, ...] = ()
    """Data volumes, in the order of their device names."""

    @property
    def server(self) -> str:
        """Name of the server: the tag, or the instance's id where there is none."""
        return self.tags.get(TAG_SERVER) or self.id


@dataclass(frozen=True)
class View:
    """Everything of the emulated AWS that has a side in the real world."""

    instances: Mapping[str, Instance] = field(default_factory=dict)
    """Those not yet terminated, by id."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    elastic: Mapping[str, str] = field(default_factory=dict)
    """Public address -> private address of those that are associated."""
    volumes: Mapping[str, int] = field(default_factory=dict)
    """Every volume that exists: id -> GiB."""
    nodes: Mapping[str, NodeSpec] = field(default_factory=dict)
    """Nodes of Network Load Balancers by name."""

    @property
    def public(self) -> dict[str, str]:
        """Every public address that leads somewhere -> its private address."""
        return {**self.elastic, **{node.public: node.address for node in self.nodes.values()}}

    def by_address(self, address: str) -> Instance | None:
        """The instance that has a private address."""
        return next((one for one in self.instances.values() if one.address == address), None)

    def by_server(self, server: str) -> Instance | None:
        """The instance of a server."""
        return next((one for one in self.instances.values() if one.server == server), None)

    def rules(self) -> dict[str, HostRules]:
        """What the security groups permit each server, with references to groups resolved to addresses."""
        members: dict[str, list[str]] = {}
        for instance in self.instances.values():
            for group in instance.groups:
                members.setdefault(group, []).append(instance.address)
        for node in self.nodes.values():
            for group in node.groups:
                members.setdefault(group, []).append(node.address)
        return {
            **{one.server: self._host_rules(one.groups, members) for one in self.instances.values()},
            **{name: self._host_rules(node.groups, members) for name, node in self.nodes.items()},
        }

    def _host_rules(self, of: Collection[str], members: Mapping[str, list[str]]) -> HostRules:
        groups = [self.groups[group] for group in of if group in self.groups]
        egress = [rule for group in groups for rule in group.egress]
        return HostRules(
            ingress=_resolve([rule for group in groups for rule in group.ingress], members),
            egress=_resolve(egress, members),
            # The API stands for the AWS endpoints out in the world, so it needs the way to them.
            api_access=any(_reaches_world(rule) for rule in egress),
        )


def _reaches_world(rule: GroupRule) -> bool:
    if rule.cidr != "0.0.0.0/0":
        return False
    if rule.protocol == "-1":
        return True
    return rule.protocol == "tcp" and (rule.from_port or 0) <= HTTPS <= (rule.to_port or 65535)


def _resolve(rules: list[GroupRule], members: Mapping[str, list[str]]) -> tuple[HostRule, ...]:
    merged: dict[tuple[str, int | None, int | None], list[str]] = {}
    for rule in rules:
        peers = members.get(rule.group, []) if rule.group else [rule.cidr] if rule.cidr else []
        ported = rule.protocol in {"tcp", "udp"}
        key = (
            "all" if rule.protocol == "-1" else rule.protocol,
            rule.from_port if ported else None,
            rule.to_port if ported else None,
        )
        merged.setdefault(key, []).extend(peers)
    return tuple(
        HostRule(protocol, tuple(sorted(set(peers))), first, last)
        for (protocol, first, last), peers in sorted(merged.items(), key=repr)
    )
