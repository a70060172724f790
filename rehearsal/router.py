"""Addresses and links of the VPC's router and of the world, as commands for `ip -batch`: pure text."""

from __future__ import annotations

import ipaddress

from rehearsal.firewall_rules import API_ADDRESS, ELASTIC_CIDR, METADATA_ADDRESS, WORLD_LINK

WORLD_ROUTER = "198.51.100.1"  # TEST-NET-2: the world's own
WORLD_CLIENT = "198.51.100.2"
WORLD_CLIENTS = ipaddress.IPv4Network("198.51.100.128/25")
"""Any of them may be the source of a connection from the world."""

HOST_LINK = "ens5"  # what Nitro instances call their first interface
VPC_MTU = 9001  # AWS: jumbo frames inside a VPC, 1500 beyond it
WORLD_MTU = 1500


def router_commands(network: ipaddress.IPv4Network, world: str) -> list[str]:
    """What the router has before any host: the services every VPC has, silence, and a way to the namespace `world`."""
    return [
        f"addr add {METADATA_ADDRESS}/32 dev lo",
        f"addr add {API_ADDRESS}/32 dev lo",
        # Addresses without a running host behind them: ARP is answered, packets vanish without a word.
        "link add name void type veth peer name void-end",
        "link set dev void arp off up",
        f"route add {network} dev void metric 1000",
        f"link add name {WORLD_LINK} mtu {WORLD_MTU} type veth peer name uplink netns {world}",
        f"addr add {WORLD_ROUTER}/24 dev {WORLD_LINK}",
        f"link set dev {WORLD_LINK} up",
        # Elastic IPs are translated where the world begins, so even a host reaches them from outside.
        f"route add {ELASTIC_CIDR} via {WORLD_CLIENT} dev {WORLD_LINK}",
    ]


def world_commands() -> list[str]:
    """The world: many client addresses, and one way to everything else."""
    return [
        f"addr add {WORLD_CLIENT}/24 dev uplink",
        f"link set dev uplink mtu {WORLD_MTU} up",
        f"route add local {WORLD_CLIENTS} dev lo",
        f"route add {ELASTIC_CIDR} via {WORLD_ROUTER} dev uplink",
        f"route add default via {WORLD_ROUTER} dev uplink",
    ]
