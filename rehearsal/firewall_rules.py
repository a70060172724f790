"""Security groups, Elastic IPs and faults of a stack as one nftables rule set: pure text, replaced atomically."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

METADATA_ADDRESS = "169.254.169.254"
API_ADDRESS = "169.254.170.10"
ELASTIC_CIDR = "203.0.113.0/24"  # TEST-NET-3: Elastic IPs
WORLD_LINK = "world"
TABLE = "tripod"


@dataclass(frozen=True)
class Rule:
    """One permission of a security group: its peers are on the other side, whichever the direction.

    `protocol` is `tcp`, `udp`, `icmp`, `all` or an IP protocol number as text (`112` is VRRP). `from_port` and
    `to_port` bound the destination port, both included; without them every port. `peers` are CIDRs or addresses.
    """

    protocol: str
    peers: tuple[str, ...]
    from_port: int | None = None
    to_port: int | None = None

    def __post_init__(self) -> None:
        if self.protocol not in {"tcp", "udp", "icmp", "all"} and not (
            self.protocol.isdigit() and 0 <= int(self.protocol) <= 255
        ):
            raise ValueError(f"protocol {self.protocol!r}: tcp, udp, icmp, all or a number from 0 to 255")
        if self.from_port is not None and self.protocol not in {"tcp", "udp"}:
            raise ValueError(f"protocol {self.protocol!r} has no ports")
        if (self.from_port is None) != (self.to_port is None):
            raise ValueError("give both from_port and to_port, or neither")
        for peer in self.peers:
            ipaddress.IPv4Network(peer)


@dataclass(frozen=True)
class HostRules:
    """What all security groups of one host permit together. Everything else is dropped without an answer."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    api_access: bool = True
    """Whether the host may reach the emulated AWS API (the instance metadata is never subject to security groups)."""


@dataclass(frozen=True)
class Block:
    """Packets from `source` to `destination` (addresses) that vanish; `protocol` as in Rule."""

    source: str
    destination: str
    protocol: str = "all"


@dataclass(frozen=True)
class Faults:
    """What a drill breaks in the network."""

    isolated: frozenset[str] = frozenset()
    """Addresses of hosts whose cable is cut: nothing passes, the metadata service included."""
    blocks: frozenset[Block] = frozenset()
    loss: Mapping[str, float] = field(default_factory=dict)
    """Address of a host -> share of packets lost in each direction, 0 to 1."""


@dataclass(frozen=True)
class FabricState:
    """Everything that the rule set depends on."""

    links: Mapping[str, str]
    """Interface of the fabric -> address of the host behind it."""
    rules: Mapping[str, HostRules]
    """Address of a host -> its rules; a host without an entry reaches nothing and is reached by nothing."""
    elastic: Mapping[str, str]
    """Public address -> private address."""
    faults: Faults = Faults()


def render(state: FabricState) -> str:
    """The whole rule set, for `nft -f` in the fabric's namespace. It replaces the one before in one transaction.

    Like AWS's, the Elastic IPs are a stateless one-to-one translation at the border (so a moved address moves
    established flows too), and the security groups are stateful and see private addresses only.
    """
    hosts = sorted(state.links.values(), key=ipaddress.IPv4Address)
    api_clients = [address for address in hosts if address in state.rules and state.rules[address].api_access]
    lines = [
        f"table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        _set("sources", [f'"{link}" . {address}' for link, address in state.links.items()], "ifname . ipv4_addr"),
        _map("private_of", "ipv4_addr : ipv4_addr", state.elastic),
        _map("public_of", "ipv4_addr : ipv4_addr", {private: public for public, private in state.elastic.items()}),
        _set("api_clients", api_clients),
        _set("with_public", state.elastic.values()),
        "  chain faults {",
        "    type filter hook prerouting priority -400; policy accept;",
        *(f"    {line}" for line in _faults(state.faults)),
        "  }",
        "  chain border_in {",
        "    type filter hook prerouting priority -310; policy accept;",
        # private addresses mean nothing in the world
        f'    iifname "{WORLD_LINK}" ip saddr {{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16 }} drop',
        f'    iifname "{WORLD_LINK}" ip daddr != {ELASTIC_CIDR} drop',
        f'    iifname "{WORLD_LINK}" ip daddr set ip daddr map @private_of',
        # AWS's source/destination check: a host sends from its own address only.
        f'    iifname != {{ "lo", "{WORLD_LINK}" }} iifname . ip saddr != @sources drop',
        "  }",
        "  chain border_out {",
        "    type filter hook postrouting priority 300; policy accept;",
        f'    oifname "{WORLD_LINK}" ip saddr set ip saddr map @public_of',
        "  }",
        "  chain input {",
        "    type filter hook input priority 0; policy drop;",
        '    iifname "lo" accept',
        "    ct state established accept",
        f'    iifname "{WORLD_LINK}" drop',
        f"    ip daddr {METADATA_ADDRESS} tcp dport 80 accept",
        f"    ip daddr {API_ADDRESS} ip protocol tcp ip saddr @api_clients accept",
        "  }",
        "  chain forward {",
        "    type filter hook forward priority 0; policy drop;",
        "    ct state established,related accept",
        "    ct state invalid drop",
        f'    iifname != "{WORLD_LINK}" ip saddr vmap {_vmap("egress", hosts)}',
        f'    oifname "{WORLD_LINK}" ip saddr @with_public accept',
        f"    ip daddr vmap {_vmap('ingress', hosts)}",
        "  }",
    ]
    for address in hosts:
        permitted = state.rules.get(address, HostRules())
        lines += _chain(_chain_name("egress", address), permitted.egress, "daddr", "return")
        lines += _chain(_chain_name("ingress", address), permitted.ingress, "saddr", "accept")
    if not hosts:  # an empty verdict map is not valid
        lines = [line for line in lines if " vmap " not in line]
    return "\n".join([*lines, "}", ""])


def _chain(name: str, rules: Collection[Rule], peer: str, verdict: str) -> list[str]:
    lines = [f"  chain {name} {{"]
    for rule in rules:
        if not rule.peers:  # a referenced group without members
            continue
        match = f"ip {peer} {{ {', '.join(_collapse(rule.peers))} }}"
        if rule.from_port is not None:
            match += f" {rule.protocol} dport {rule.from_port}-{rule.to_port}"
        elif rule.protocol != "all":
            match += f" ip protocol {_protocol(rule.protocol)}"
        lines.append(f"    {match} {verdict}")
    return [*lines, "    drop", "  }"]


def _faults(faults: Faults) -> list[str]:
    lines = []
    for address in sorted(faults.isolated):
        lines += [f"ip saddr {address} drop", f"ip daddr {address} drop"]
    for block in sorted(faults.blocks, key=repr):
        protocol = "" if block.protocol == "all" else f"ip protocol {_protocol(block.protocol)} "
        lines.append(f"ip saddr {block.source} ip daddr {block.destination} {protocol}drop")
    for address, share in sorted(faults.loss.items()):
        parts = round(share * 10_000)
        lines += [f"ip {end} {address} numgen random mod 10000 < {parts} drop" for end in ("saddr", "daddr") if parts]
    return lines


def _protocol(name: str) -> int:
    return {"icmp": 1, "tcp": 6, "udp": 17}[name] if not name.isdigit() else int(name)


def _collapse(peers: Collection[str]) -> list[str]:
    """The same addresses without overlaps, which an nftables set refuses."""
    return [str(network) for network in ipaddress.collapse_addresses(ipaddress.IPv4Network(peer) for peer in peers)]


def _vmap(direction: str, hosts: Collection[str]) -> str:
    return f"{{ {', '.join(f'{address} : jump {_chain_name(direction, address)}' for address in hosts)} }}"


def _chain_name(direction: str, address: str) -> str:
    return f"{direction}_{address.replace('.', '_')}"


def _map(name: str, kind: str, elements: Mapping[str, str]) -> str:
    body = f" elements = {{ {', '.join(f'{key} : {value}' for key, value in sorted(elements.items()))} }};"
    return f"  map {name} {{ type {kind};{body if elements else ''} }}"


def _set(name: str, elements: Collection[str], kind: str = "ipv4_addr") -> str:
    body = f" elements = {{ {', '.join(sorted(set(elements)))} }};"
    return f"  set {name} {{ type {kind};{body if elements else ''} }}"
