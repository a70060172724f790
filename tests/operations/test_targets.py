"""What the Network Load Balancer says of a server: found by tags, told by state, asked only where it matters."""

from __future__ import annotations

import dataclasses

import boto3
import pytest
from botocore.stub import Stubber

from operations.errors import PermissionDeniedError
from operations.targets import Targets
from tests.operations.conftest import REGION
from topology.names import Role


def elb():
    return boto3.client("elbv2", region_name=REGION)


def group(name: str, port: int, *addresses: str, stack: str = "dev") -> str:
    """A target group of `stack` with these targets; its ARN."""
    vpc = boto3.client("ec2", region_name=REGION).describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = elb().create_target_group(
        Name=name,
        Protocol="TCP",
        Port=port,
        VpcId=vpc,
        TargetType="ip",
        Tags=[{"Key": "tripod:stack", "Value": stack}],
    )["TargetGroups"][0]["TargetGroupArn"]
    if addresses:
        elb().register_targets(TargetGroupArn=arn, Targets=[{"Id": address, "Port": port} for address in addresses])
    return str(arn)


def answering(aws, states):
    """Let the load balancer say `states` ({address: (state, description)}) of the targets of each group, in turn."""
    client = aws._client("elbv2")
    asked = Stubber(client)
    for of_group in states:
        told = [
            {"Target": {"Id": one}, "TargetHealth": {"State": state, **({"Description": why} if why else {})}}
            for one, (state, why) in of_group.items()
        ]
        asked.add_response("describe_target_health", {"TargetHealthDescriptions": told})
    return asked


def test_without_target_groups_there_is_nothing_to_say(aws, fleet):
    assert [Targets(aws, "dev").problems(server) for server in fleet.servers] == [(), (), ()]


def test_a_server_in_service_has_no_problem(aws, fleet):
    group("http", 80, fleet.servers[0].address)
    group("https", 443, fleet.servers[0].address)
    assert Targets(aws, "dev").problems(fleet.servers[0]) == ()


def test_groups_of_other_stacks_say_nothing(aws, fleet):
    for number in range(25):
        group(f"other-{number}", 1000 + number, stack="prod")
    assert Targets(aws, "dev").problems(fleet.servers[0]) == ()
    group("mine", 443)
    problem = "for port 443 it is not registered at the Network Load Balancer"
    assert Targets(aws, "dev").problems(fleet.servers[0]) == (problem,)


def test_a_server_without_a_load_balancer_is_not_asked_about(aws, fleet):
    group("mine", 443)
    assert Targets(aws, "dev").problems(fleet.servers[2]) == ()


@pytest.mark.parametrize("state", ["initial", "unhealthy", "draining", "unused", "unavailable"])
def test_every_state_but_healthy_is_told_with_its_port(aws, fleet, state):
    one, other = fleet.servers[0], dataclasses.replace(fleet.servers[1], roles=(Role.LOAD_BALANCER,))
    arn = group("https", 443)
    targets = Targets(aws, "dev")
    assert list(targets._of_stack()) == [arn]
    told = {one.address: (state, "Health checks failed"), other.address: ("healthy", None)}
    with answering(aws, [told, told]):
        problem = f"for port 443 it is {state} at the Network Load Balancer (Health checks failed)"
        assert targets.problems(one) == (problem,)
        assert targets.problems(other) == ()


def test_a_missing_permission_is_an_error_and_not_good_news(aws, fleet):
    group("https", 443, fleet.servers[0].address)
    targets = Targets(aws, "dev")
    targets.problems(fleet.servers[0])
    refused = Stubber(aws._client("elbv2"))
    refused.add_client_error("describe_target_health", "AccessDenied", "not authorized")
    with refused, pytest.raises(PermissionDeniedError, match="DescribeTargetHealth"):
        targets.problems(fleet.servers[0])
