"""What each drill of the rehearsal looks like to whoever is on call, and which entry says what to do.

tests/operations/test_runbook_drills.py compares this with the drills and the alerts that there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from topology.model import Topology
from topology.names import Edge


@dataclass(frozen=True)
class DrillEntry:
    """`entry` is the key of a section, `sees` a sentence, `alerts` are those that fire when it lasts for minutes.

    `floating`: only a stack with a floating Elastic IP can have it.
    """

    entry: str
    sees: str
    alerts: tuple[str, ...] = ()
    floating: bool = False


_MEMBER = ("GroupMemberDown", "GroupNotRedundant")

DRILL_ENTRIES = {
    "primary-killed": DrillEntry(
        "mysqld-down", "Writes stop for some seconds, then another server is primary.", _MEMBER
    ),
    "next-primary-killed": DrillEntry(
        "mysqld-down",
        "Writes stop twice, for some seconds each; the second time nobody may be primary for a while.",
        _MEMBER,
    ),
    "host-lost": DrillEntry(
        "server-lost",
        "Writes stop for some seconds, then another server is primary; one server does not answer.",
        ("HostDown", "GroupNotRedundant"),
    ),
    "host-lost-with-load-balancer": DrillEntry(
        "server-lost",
        "Reads and writes stop for some seconds; one server does not answer.",
        ("HostDown", "LoadBalancerDown", "GroupNotRedundant"),
    ),
    "primary-partitioned": DrillEntry(
        "server-lost",
        "Writes stop for some seconds, then another server is primary. The old one runs, but nobody reaches it.",
        ("HostDown", "GroupNotRedundant"),
    ),
    "disk-slow": DrillEntry("disk-slow", "Writes are slow, reads are not; every server is healthy.", ("Latency",)),
    "switchover": DrillEntry("planned-work", "Another server is primary; writes pause for less than a second."),
    "active-load-balancer-lost": DrillEntry(
        "server-lost", "Nobody gets in for some seconds; one server does not answer.", ("HostDown", "LoadBalancerDown")
    ),
    "haproxy-killed": DrillEntry(
        "haproxy-down", "Nobody gets in there for a second or two, until systemd has started it.", ("LoadBalancerDown",)
    ),
    "haproxy-hung": DrillEntry(
        "haproxy-down", "It accepts connections and says nothing; systemd finds it active.", ("LoadBalancerDown",)
    ),
    "haproxy-reloaded": DrillEntry("wrong-bundle", "Nothing: each roll-out reloads HAProxy, and no request fails."),
    "vrrp-blocked": DrillEntry(
        "floating-address", "Two load balancers are VRRP master; the site answers.", ("TwoVrrpMasters",), floating=True
    ),
    "address-taken-away": DrillEntry(
        "floating-address",
        "The site does not answer; every server is healthy.",
        ("FloatingAddressNowhere",),
        floating=True,
    ),
    "address-at-the-wrong-server": DrillEntry(
        "floating-address", "Nothing: the other load balancer serves.", ("FloatingAddressMisplaced",), floating=True
    ),
    "processors-busy": DrillEntry(
        "cpu-credits", "Everything is slow; the address stays where it is.", ("Latency",), floating=True
    ),
    "application-killed": DrillEntry(
        "application-down", "Nothing, or a slower answer: it is asked for elsewhere.", ("ApplicationServerDown",)
    ),
    "application-host-lost": DrillEntry(
        "server-lost", "A slower answer or two; one server does not answer.", ("HostDown", "ApplicationServerDown")
    ),
    "application-hung": DrillEntry(
        "application-down",
        "Some requests wait for seconds and fail; systemd finds the application active.",
        ("ApplicationServerDown",),
    ),
    "application-answering-500": DrillEntry(
        "application-down", "Nothing: it is asked for elsewhere.", ("ApplicationServerDown",)
    ),
    "packet-loss-1": DrillEntry("network-bad", "Little: a slower answer now and then."),
    "packet-loss-5": DrillEntry("network-bad", "Slow answers; now and then a write fails.", ("Latency",)),
    "packet-loss-30": DrillEntry(
        "network-bad",
        "Slow and failing writes; a member leaves the group and comes back.",
        ("Latency", *_MEMBER),
    ),
    "packet-delay": DrillEntry("network-bad", "Every write takes longer; nothing fails.", ("Latency",)),
    "both-replicas-lost": DrillEntry(
        "full-outage",
        "The site answers 503: the member that is left has no majority.",
        ("NoMajority", "NoPrimary", "SiteDown", "HostDown"),
    ),
    "server-recreated": DrillEntry(
        "server-lost", "A replica is empty and RECOVERING while it is cloned.", ("HostDown", *_MEMBER)
    ),
    "all-cold": DrillEntry(
        "full-outage",
        "Nothing answers, and only CloudWatch tells; then 503 until a majority of the members is back.",
        ("NoMajority", "NoPrimary"),
    ),
}


def drills(topology: Topology) -> dict[str, DrillEntry]:
    """Those that a stack can have, by name."""
    floats = topology.edge is Edge.FLOATING_EIP
    return {name: one for name, one in DRILL_ENTRIES.items() if floats or not one.floating}
