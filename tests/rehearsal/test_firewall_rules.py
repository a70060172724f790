"""The rule set as text: what it says for a stack, and that nftables accepts whatever it says."""

from __future__ import annotations

import ipaddress
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehearsal.firewall_rules import Block, FabricState, Faults, HostRules, Rule, render
from rehearsal.shell import run

A, B = "10.0.1.10", "10.0.2.10"


def state(**changes):
    return FabricState(
        **{"links": {"server-1": A, "server-2": B}, "rules": {}, "elastic": {}, "faults": Faults(), **changes}
    )


def chain(text, name):
    body = text.split(f"chain {name} {{", 1)[1].split("}\n", 1)[0] if f"chain {name} {{" in text else ""
    return [line.strip() for line in body.split("\n  }", 1)[0].splitlines() if line.strip()]


def test_every_host_is_closed_by_default():
    text = render(state())
    for address in ("10_0_1_10", "10_0_2_10"):
        assert chain(text, f"egress_{address}") == ["drop"]
        assert chain(text, f"ingress_{address}") == ["drop"]


def test_rules_become_matches_on_the_other_side():
    rules = HostRules(
        ingress=(Rule("tcp", (B,), 3306, 3306), Rule("112", (B,)), Rule("icmp", ("0.0.0.0/0",))),
        egress=(Rule("all", ("0.0.0.0/0",)),),
    )
    text = render(state(rules={A: rules}))
    assert "ip saddr { 10.0.2.10/32 } tcp dport 3306-3306 accept" in text
    assert "ip saddr { 10.0.2.10/32 } ip protocol 112 accept" in text
    assert "ip saddr { 0.0.0.0/0 } ip protocol 1 accept" in text
    assert "ip daddr { 0.0.0.0/0 } return" in text


def test_peers_are_merged_and_an_empty_group_permits_nobody():
    rules = HostRules(ingress=(Rule("tcp", ("10.0.2.0/24", B, "10.0.3.0/24"), 1, 2), Rule("udp", (), 1, 2)))
    text = render(state(rules={A: rules}))
    assert "ip saddr { 10.0.2.0/23 } tcp dport 1-2 accept" in text
    assert "udp" not in text


def test_the_rule_set_replaces_the_one_before_in_one_transaction():
    assert render(state()).splitlines()[:3] == ["table ip tripod", "delete table ip tripod", "table ip tripod {"]


def test_faults_come_before_everything_else():
    faults = Faults(frozenset({A}), frozenset({Block(A, B, "112")}), {B: 0.05})
    text = render(state(faults=faults))
    assert chain(text, "faults")[1:] == [
        f"ip saddr {A} drop",
        f"ip daddr {A} drop",
        f"ip saddr {A} ip daddr {B} ip protocol 112 drop",
        f"ip saddr {B} numgen random mod 10000 < 500 drop",
        f"ip daddr {B} numgen random mod 10000 < 500 drop",
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("http", (A,)), "protocol 'http'"),
        (("256", (A,)), "protocol '256'"),
        (("icmp", (A,), 1, 2), "has no ports"),
        (("tcp", (A,), 1), "both"),
        (("tcp", ("10.0.0.1/8",), 1, 2), "host bits"),
        (("tcp", ("sg-123",), 1, 2), "sg-123"),
    ],
)
def test_rules_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Rule(*arguments)


addresses = st.integers(1, 2**16 - 2).map(lambda number: str(ipaddress.IPv4Address("10.0.0.0") + number))
networks = st.tuples(addresses, st.integers(0, 32)).map(lambda pair: str(ipaddress.IPv4Network(pair, strict=False)))
ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted)


@st.composite
def rules(draw):
    protocol = draw(st.sampled_from(["tcp", "udp", "icmp", "all", "112", "6"]))
    bounds = draw(ports) if protocol in {"tcp", "udp"} and draw(st.booleans()) else (None, None)
    return Rule(protocol, tuple(draw(st.lists(networks, max_size=4))), *bounds)


host_rules = st.builds(HostRules, st.lists(rules(), max_size=3).map(tuple), st.lists(rules(), max_size=3).map(tuple))


@st.composite
def states(draw):
    hosts = draw(st.lists(addresses, unique=True, max_size=4))
    return FabricState(
        links={f"server-{number}": address for number, address in enumerate(hosts)},
        rules={address: draw(host_rules) for address in hosts if draw(st.booleans())},
        elastic={f"203.0.113.{number + 1}": address for number, address in enumerate(hosts) if draw(st.booleans())},
        faults=Faults(
            frozenset(address for address in hosts if draw(st.booleans())),
            frozenset(Block(a, b, draw(st.sampled_from(["all", "112", "tcp"]))) for a in hosts for b in hosts if a < b),
            {address: draw(st.floats(0, 0.99)) for address in hosts},
        ),
    )


@pytest.mark.native
@settings(max_examples=40)
@given(states())
def test_nftables_accepts_every_rule_set(described):
    if shutil.which("nft") is None:
        pytest.skip("nft is missing")
    run(["unshare", "--net", "nft", "--check", "--file", "-"], stdin=render(described))
