"""Fixtures of the host programs' tests."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.host.floating import REGION, STRANGER, TAG_LIST, A, B, Cloud
from userdata.host.backup_store import Store

IMAGE = "ami-12c6146b"  # one that moto always has


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with mock_aws():
        ec2 = boto3.client("ec2", region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/16")["Subnet"]["SubnetId"]

        def run(address):
            found = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet, PrivateIpAddress=address)
            return found["Instances"][0]["InstanceId"]

        ids = {address: run(address) for address in (A, B, STRANGER)}
        ec2.allocate_address(Domain="vpc")
        mine = ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": TAG_LIST}])
        yield Cloud(ec2, ids, mine["AllocationId"])


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty bucket of backups."""
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="backups")
        yield Store("backups", client)
