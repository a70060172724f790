"""The emulated AWS: where moto differs from AWS it is mended, and its view says what should be real."""

from __future__ import annotations

import itertools
import json

import pytest
from botocore.exceptions import ClientError

from rehearsal import cloud_patches
from rehearsal.firewall_rules import Rule
from tests.rehearsal.control_plane import emulated


@pytest.fixture(scope="module")
def service():
    with emulated() as running:
        yield running


@pytest.fixture
def aws(service):
    service.reset()
    return service


def network(aws):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/20", AvailabilityZone="eu-central-1a")["Subnet"]
    return ec2, vpc, subnet["SubnetId"]


def instance(aws, address="10.20.0.10", server="server-1", **arguments):
    ec2, _, subnet = arguments.pop("network", None) or network(aws)
    image = aws.client("ssm").get_parameter(
        Name="/aws/service/canonical/ubuntu/server/26.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    )["Parameter"]["Value"]
    return ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress=address,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "tripod:server", "Value": server}]}],
        **arguments,
    )["Instances"][0]["InstanceId"]


def test_elastic_ips_are_documentation_addresses(aws):
    addresses = [aws.client("ec2").allocate_address(Domain="vpc")["PublicIp"] for _ in range(3)]
    assert len(set(addresses)) == 3
    assert all(address.startswith("203.0.113.") for address in addresses)


def test_an_elastic_ip_that_was_released_can_be_had_again(aws, monkeypatch):
    monkeypatch.setattr(cloud_patches, "ELASTIC_NUMBERS", range(10, 12))
    monkeypatch.setattr(cloud_patches, "_numbers", itertools.cycle(range(10, 12)))
    ec2 = aws.client("ec2")
    for _ in range(3):
        ec2.release_address(AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"])
    ec2.allocate_address(Domain="vpc")
    ec2.allocate_address(Domain="vpc")
    with pytest.raises(ClientError, match="AddressLimitExceeded"):
        ec2.allocate_address(Domain="vpc")


def test_a_rule_may_name_any_protocol(aws):
    ec2, vpc, _ = network(aws)
    group = ec2.create_security_group(GroupName="a", Description="a", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "112", "UserIdGroupPairs": [{"GroupId": group}]}
    rule = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]
    assert rule["IpProtocol"] == "112"
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert aws.cloud.view().groups[group].ingress == ()


def test_the_managed_policy_of_session_manager_exists(aws):
    iam = aws.client("iam")
    trust = {"Version": "2012-10-17", "Statement": []}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))
    iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")


def test_a_bucket_that_wants_tls_takes_objects(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
    }
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    s3.put_bucket_policy(
        Bucket="bucket",
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": insecure}]}),
    )
    s3.put_object(Bucket="bucket", Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="bucket", Key="k", Body=b"x")


def test_a_parameter_is_created_once(aws):
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/t", Value="1", Type="String")
    with pytest.raises(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(Name="/t", Value="2", Type="String")


def test_a_command_runs_on_the_instances_it_names_and_takes_its_time(aws):
    net = network(aws)
    first, second = instance(aws, network=net), instance(aws, "10.20.0.11", "server-2", network=net)
    aws.commands.online = {first, second}
    ssm = aws.client("ssm")
    sent = ssm.send_command(InstanceIds=[first], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]})[
        "Command"
    ]["CommandId"]
    (command,) = aws.commands.started
    assert [invocation["InstanceId"] for invocation in command.invocations] == [first]
    assert ssm.get_command_invocation(CommandId=sent, InstanceId=first)["Status"] == "InProgress"
    with pytest.raises(ssm.exceptions.InvocationDoesNotExist):
        ssm.get_command_invocation(CommandId=sent, InstanceId=second)
    ssm.cancel_command(CommandId=sent)


def test_an_instance_whose_host_does_not_answer_takes_no_command(aws):
    silent = instance(aws)
    ssm = aws.client("ssm")
    with pytest.raises(ssm.exceptions.InvalidInstanceId):
        ssm.send_command(InstanceIds=[silent], DocumentName="AWS-RunShellScript")
    assert ssm.describe_instance_information()["InstanceInformationList"] == []
    aws.commands.online = {silent}
    filters = [{"Key": "InstanceIds", "Values": [silent]}]
    (one,) = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert (one["InstanceId"], one["PingStatus"]) == (silent, "Online")
    other = [{"Key": "InstanceIds", "Values": ["i-0123"]}]
    assert ssm.describe_instance_information(Filters=other)["InstanceInformationList"] == []


def test_the_view_resolves_groups_to_addresses(aws):
    ec2, vpc, subnet = network(aws)
    groups = []
    for name in ("web", "data"):
        group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        ec2.revoke_security_group_egress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        groups.append(group)
    web, data = groups
    to_mysql = {"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306}
    ec2.authorize_security_group_egress(
        GroupId=web, IpPermissions=[{**to_mysql, "UserIdGroupPairs": [{"GroupId": data}]}]
    )
    ec2.authorize_security_group_ingress(
        GroupId=data, IpPermissions=[{**to_mysql, "UserIdGroupPairs": [{"GroupId": web}]}]
    )
    world = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_egress(GroupId=web, IpPermissions=[world])
    net = (ec2, vpc, subnet)
    instance(aws, network=net, SecurityGroupIds=[web])
    instance(aws, "10.20.0.11", "server-2", network=net, SecurityGroupIds=[data])
    rules = aws.cloud.view().rules()
    assert rules["server-1"].egress == (
        Rule("tcp", ("10.20.0.11",), 3306, 3306),
        Rule("tcp", ("0.0.0.0/0",), 443, 443),
    )
    assert rules["server-2"].ingress == (Rule("tcp", ("10.20.0.10",), 3306, 3306),)
    assert rules["server-1"].api_access
    assert not rules["server-2"].api_access


def test_the_view_follows_an_instance_through_its_life(aws):
    one = instance(aws, UserData="#cloud-config\n", MetadataOptions={"HttpTokens": "required"})
    ec2 = aws.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=8)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=one, Device="/dev/sdf")
    elastic = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=elastic["AllocationId"], InstanceId=one)
    view = aws.cloud.view()
    found = view.by_server("server-1")
    assert found == view.by_address("10.20.0.10") == view.instances[one]
    assert found.user_data == b"#cloud-config\n"
    assert found.tokens_required
    assert [(disk.id, disk.size) for disk in found.disks] == [(volume, 8)]
    assert view.elastic == {elastic["PublicIp"]: "10.20.0.10"}
    ec2.stop_instances(InstanceIds=[one])
    ec2.start_instances(InstanceIds=[one])
    assert aws.cloud.view().instances[one].power_cycles == 1, "a stop and start between two looks leaves a trace"
    aws.cloud.stopped_by_host(one)
    assert aws.cloud.view().instances[one].state == "stopped"
    ec2.terminate_instances(InstanceIds=[one])
    view = aws.cloud.view()
    assert not view.instances
    assert volume in view.volumes, "an attached data volume outlives its instance"


def test_termination_protection_is_kept(aws):
    one = instance(aws, DisableApiTermination=True)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        aws.client("ec2").terminate_instances(InstanceIds=[one])
