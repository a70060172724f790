"""The table of flows: what faces the world, what a server may do, and that nothing is declared twice."""

from __future__ import annotations

import pytest

from topology import ports
from topology.build import build_topology
from topology.flows import EDGE, WORLD, allowed, flows
from topology.model import Topology
from topology.names import Role
from topology.presets import PRESETS
from topology.settings import Settings


def build(**raw: object) -> Topology:
    return build_topology(Settings.parse(raw), stack="test", region="eu-west-1")


@pytest.mark.parametrize("preset", PRESETS)
def test_only_80_and_443_face_the_world(preset: str) -> None:
    ways_in = {(f.destination, f.port) for f in flows(build(preset=preset)) if f.source == WORLD}
    facing = EDGE if preset == "active-active" else Role.LOAD_BALANCER
    assert ways_in == {(facing, 80), (facing, 443)}


@pytest.mark.parametrize("preset", PRESETS)
def test_no_flow_is_declared_twice_and_each_has_a_reason(preset: str) -> None:
    table = flows(build(preset=preset))
    assert len({flow.key for flow in table}) == len(table)
    assert len({(f.source, f.destination, f.protocol, f.port) for f in table}) == len(table)
    assert all(flow.reason for flow in table)


def test_behind_a_network_load_balancer_the_world_reaches_no_server() -> None:
    topology = build(preset="active-active")
    for server in topology.servers:
        assert not allowed(topology, WORLD, server, "tcp", ports.HTTPS)
        assert allowed(topology, EDGE, server, "tcp", ports.HTTPS)


def test_vrrp_is_allowed_only_where_an_address_floats() -> None:
    passive, reference = build(preset="active-passive"), build()
    assert allowed(passive, passive.server("server-1"), passive.server("server-2"), "vrrp", None)
    assert not allowed(passive, passive.server("server-3"), passive.server("server-2"), "vrrp", None)
    assert not any(flow.protocol == "vrrp" for flow in flows(reference))


def test_a_server_may_do_what_any_of_its_roles_may() -> None:
    topology = build()
    first, second, third = topology.servers
    assert allowed(topology, first, second, "tcp", ports.APP)
    assert not allowed(topology, third, second, "tcp", ports.APP)
    assert allowed(topology, third, first, "tcp", ports.HAPROXY_METRICS)
    assert not allowed(topology, second, first, "tcp", ports.HAPROXY_METRICS)
    assert allowed(topology, second, third, "tcp", ports.GROUP_REPLICATION)
    assert not allowed(topology, WORLD, first, "tcp", ports.MYSQL)


def test_flows_of_roles_that_nobody_has_are_left_out() -> None:
    assert not any(Role.READ_REPLICA in (flow.source, flow.destination) for flow in flows(build()))


def test_the_applications_own_port_takes_the_samples_place() -> None:
    own = {"artifact": "s3://a/b.tar.gz", "sha256": "0" * 64, "start": "run", "port": 9000, "health": "/"}
    topology = build(application=own)
    assert allowed(topology, topology.server("server-1"), topology.server("server-2"), "tcp", 9000)
    assert not allowed(topology, topology.server("server-1"), topology.server("server-2"), "tcp", ports.APP)
