"""Finding and taking the Elastic IP, on moto."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.host.floating import REGION, TAG_LIST, A, B
from userdata.host.elastic_ip import AddressError, ElasticIp


def test_the_address_is_found_by_its_tags_and_taken(cloud):
    address = cloud.elastic_ip(A)
    before = address.look()
    assert before.allocation_id == cloud.allocation
    assert before.instance_id is None
    assert not address.is_mine(before)
    address.take()
    after = address.look()
    assert (after.instance_id, after.private_ip) == (cloud.ids[A], A)
    assert address.is_mine(after)
    cloud.elastic_ip(B).take()
    assert not address.is_mine(address.look()), "the last one wins"


def test_not_exactly_one_address_is_an_error(cloud):
    nobody = ElasticIp({"Name": "tripod-other"}, REGION, cloud.ec2, lambda: "i-x")
    with pytest.raises(AddressError, match="0 Elastic IPs"):
        nobody.look()
    second = cloud.ec2.allocate_address(Domain="vpc")["AllocationId"]
    cloud.ec2.create_tags(Resources=[second], Tags=TAG_LIST)
    with pytest.raises(AddressError, match="2 Elastic IPs"):
        cloud.elastic_ip(A).look()


def test_an_address_that_was_made_anew_is_found_again(cloud):
    address = cloud.elastic_ip(A)
    address.look()
    cloud.ec2.release_address(AllocationId=cloud.allocation)
    with pytest.raises(ClientError, match="NotFound"):
        address.look()
    fresh = cloud.ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": TAG_LIST}]
    )
    assert address.look().allocation_id == fresh["AllocationId"]
