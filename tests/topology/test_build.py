"""From settings to a topology: presets, addresses, zones, and what must stay put when a stack grows."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.build import build_topology
from topology.instance_types import architecture
from topology.model import Topology
from topology.names import Edge, Role, backup_bucket, bucket
from topology.presets import PRESETS
from topology.problems import ConfigurationError
from topology.settings import Settings

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d"]


def build(**raw: object) -> Topology:
    return build_topology(Settings.parse(raw), stack="test", region="eu-west-1", zones=ZONES)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_three_servers_in_three_zones_with_three_votes(preset: str) -> None:
    topology = build(preset=preset)
    assert [server.zone for server in topology.servers] == ZONES[:3]
    assert len({server.address for server in topology.servers}) == 3
    assert len(topology.databases) == 3
    assert topology.majority == 2
    assert topology.server(topology.preferred_primary).has(Role.DATABASE)


def test_the_reference_preset_is_the_drawing() -> None:
    topology = build()
    assert topology.edge is Edge.EIP
    assert [server.name for server in topology.load_balancers] == ["server-1"]
    assert [server.name for server in topology.apps] == ["server-1", "server-2"]
    assert topology.preferred_primary == "server-1"


def test_active_passive_keeps_the_primary_off_the_load_balancers() -> None:
    topology = build(preset="active-passive")
    assert not topology.server(topology.preferred_primary).has(Role.LOAD_BALANCER)


def test_values_as_the_engine_gives_them_are_text() -> None:
    as_text = build(
        dataVolumeGib="50",
        zones='["eu-west-1b"]',
        servers='[{"name":"a-1","roles":["load_balancer","app","database"]}]',
    )
    as_values = build(
        dataVolumeGib=50, zones=["eu-west-1b"], servers=[{"name": "a-1", "roles": ["load_balancer", "app", "database"]}]
    )
    assert as_text == as_values
    assert as_text.server("a-1").data_volume_gib == 50


SERVERS = [
    {"name": "server-1", "roles": ["load_balancer", "app", "database"]},
    {"name": "server-2", "roles": ["app", "database"]},
    {"name": "server-3", "roles": ["database", "monitoring"]},
    {"name": "server-4", "roles": ["app"]},
    {"name": "server-5", "roles": ["app", "read_replica"]},
]


@given(st.sets(st.integers(0, 4), min_size=0, max_size=2).map(lambda gone: gone - {0, 1, 2}), st.permutations(range(5)))
def test_no_server_moves_when_others_come_go_or_are_listed_in_another_order(gone: set[int], order: list[int]) -> None:
    whole = build(servers=SERVERS)
    changed = build(servers=[SERVERS[i] for i in order if i not in gone])
    for server in changed.servers:
        assert server == whole.server(server.name)


@given(st.integers(1, 120))
def test_many_servers_have_addresses_of_their_own_inside_their_subnet(count: int) -> None:
    servers = SERVERS[:3] + [{"name": f"web-{n}", "roles": ["app"]} for n in range(10, 10 + count)]
    topology = build(servers=servers)
    assert len({server.address for server in topology.servers}) == len(topology.servers)
    for server in topology.servers:
        subnet = topology.subnet(server.subnet)
        assert server.address in subnet.cidr
        assert subnet.zone == server.zone
    assert len({server.server_id for server in topology.servers}) == len(topology.servers)


def test_an_address_and_a_zone_of_ones_own() -> None:
    topology = build(
        servers=[
            {"name": "edge", "roles": ["load_balancer", "app"], "zone": "eu-west-1b", "address": "10.20.16.99"},
            {"name": "data-1", "roles": ["database"]},
        ]
    )
    assert topology.server("edge").address == IPv4Address("10.20.16.99")
    assert topology.server("edge").zone == "eu-west-1b"


def test_own_servers_get_a_primary_away_from_the_load_balancer() -> None:
    assert build(servers=SERVERS).preferred_primary == "server-2"


def test_without_zones_to_ask_for_the_regions_first_three_are_used() -> None:
    topology = build_topology(Settings.parse({}), stack="test", region="sa-east-1", zones=None)
    assert [subnet.zone for subnet in topology.subnets] == ["sa-east-1a", "sa-east-1b", "sa-east-1c"]


def test_two_zones_are_enough_where_a_region_has_no_more() -> None:
    topology = build_topology(Settings.parse({}), stack="test", region="us-west-1", zones=["us-west-1a", "us-west-1c"])
    assert [server.zone for server in topology.servers] == ["us-west-1a", "us-west-1c", "us-west-1a"]
    assert len({server.address for server in topology.servers}) == 3


@given(st.lists(st.from_regex(r"[a-z](-?[ab](k|-bk)?){0,3}", fullmatch=True), min_size=2, max_size=2, unique=True))
def test_no_bucket_of_a_stack_is_anothers(stacks: list[str]) -> None:
    def buckets(stack: str) -> set[str]:
        return {name(stack, "123456789012", "eu-west-1") for name in (bucket, backup_bucket)}

    def usable(stack: str) -> bool:
        try:
            build_topology(Settings(), stack=stack, region="eu-west-1")
        except ConfigurationError:
            return False
        return True

    one, other = stacks
    assert not (buckets(one) & buckets(other)) or not (usable(one) and usable(other))
    assert len(buckets(one)) == 2


@pytest.mark.parametrize(
    "instance_type, expected",
    [
        ("t3.medium", "x86_64"),
        ("t4g.small", "arm64"),
        ("m7gd.large", "arm64"),
        ("g5.xlarge", "x86_64"),
        ("c7i.large", "x86_64"),
    ],
)
def test_architecture_of_an_instance_type(instance_type: str, expected: str) -> None:
    assert architecture(instance_type) == expected
