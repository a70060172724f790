"""Servers are found by their tags, and only by them."""

from __future__ import annotations

import boto3
import pytest

from operations.errors import OperationError, ServerNotFoundError, StackNotFoundError
from operations.fleet import find_fleet
from tests.operations.conftest import REFERENCE, REGION, launch
from topology.names import Role


def test_finds_servers_with_their_roles(aws):
    ids = launch("dev", REFERENCE)
    fleet = find_fleet(aws, "dev")
    assert [s.name for s in fleet.servers] == ["server-1", "server-2", "server-3"]
    first = fleet.server("server-1")
    assert first.instance_id == ids["server-1"]
    assert first.roles == (Role.LOAD_BALANCER, Role.APP, Role.DATABASE)
    assert first.zone.startswith(REGION)
    assert first.address.count(".") == 3
    assert first.state == "running"
    assert [s.name for s in fleet.with_role(Role.APP)] == ["server-1", "server-2"]


def test_other_stacks_are_not_found(aws):
    launch("dev", REFERENCE)
    launch("prod", {"server-9": "app"})
    assert [s.name for s in find_fleet(aws, "prod").servers] == ["server-9"]


def test_order_is_that_of_people(aws):
    launch("dev", {"server-10": "app", "server-2": "app", "edge": "app"})
    assert [s.name for s in find_fleet(aws, "dev").servers] == ["edge", "server-2", "server-10"]


def test_a_stack_that_is_not_there_names_those_that_are(aws):
    launch("prod", REFERENCE)
    launch("staging", {"server-1": "app"})
    with pytest.raises(StackNotFoundError, match=r"'dev' in eu-central-1.*prod, staging") as caught:
        find_fleet(aws, "dev")
    assert caught.value.present == ("prod", "staging")


def test_no_stack_at_all(aws):
    with pytest.raises(StackNotFoundError, match="no stack there at all"):
        find_fleet(aws, "dev")


def test_terminated_servers_are_gone(aws):
    ids = launch("dev", REFERENCE)
    boto3.client("ec2", region_name=REGION).terminate_instances(InstanceIds=[ids["server-2"]])
    assert [s.name for s in find_fleet(aws, "dev").servers] == ["server-1", "server-3"]


def test_stopped_servers_are_still_of_the_stack(aws):
    ids = launch("dev", REFERENCE)
    boto3.client("ec2", region_name=REGION).stop_instances(InstanceIds=[ids["server-2"]])
    assert find_fleet(aws, "dev").server("server-2").state == "stopped"


def test_a_server_that_is_not_there_names_those_that_are(fleet):
    with pytest.raises(ServerNotFoundError, match=r"'server-4'.*server-1, server-2, server-3"):
        fleet.server("server-4")


def test_two_servers_of_one_name(aws):
    launch("dev", REFERENCE)
    launch("dev", {"server-2": "app"})
    with pytest.raises(OperationError, match="two servers called 'server-2'"):
        find_fleet(aws, "dev")


def test_an_unknown_role(aws):
    launch("dev", {"server-1": "app wizard"})
    with pytest.raises(OperationError, match=r"server-1.*'wizard'.*tripod:roles.*load_balancer"):
        find_fleet(aws, "dev")


def test_an_instance_without_a_name(aws):
    ids = launch("dev", {"server-1": "app"})
    boto3.client("ec2", region_name=REGION).delete_tags(Resources=[ids["server-1"]], Tags=[{"Key": "tripod:server"}])
    with pytest.raises(OperationError, match=f"{ids['server-1']}.*tripod:server"):
        find_fleet(aws, "dev")
