"""What a type's name tells is what the EC2 API says of it: moto carries the answers of DescribeInstanceTypes."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPES

from topology.instance_types import DATABASE_MEMORY_GIB, SHAPE, XEN, architecture, burstable, obstacle, short_of_memory

TYPES: dict[str, dict[str, Any]] = INSTANCE_TYPES
SERVERS = [name for name in TYPES if not name.startswith("mac")]


def test_the_answers_are_there() -> None:
    assert len(SERVERS) > 500
    assert all(SHAPE.match(name) for name in TYPES)


def test_types_of_xen_and_of_macos_cannot_be_servers_and_all_others_can() -> None:
    refused = {name for name in TYPES if obstacle(name)}
    assert refused == {name for name, one in TYPES.items() if one.get("Hypervisor") == "xen" or name.startswith("mac")}
    # Every other one has its EBS volumes as NVMe devices.
    assert {TYPES[name]["EbsInfo"]["NvmeSupport"] for name in SERVERS if name not in refused} == {"required"}


@pytest.mark.parametrize("name", ["i3.metal", "p3dn.24xlarge", "x2gd.large", "g4dn.xlarge", "t3.medium", "z9.large"])
def test_what_looks_like_xen_and_is_not(name: str) -> None:
    assert obstacle(name) is None


def test_families_that_are_no_longer_sold_are_refused_too() -> None:
    sold = {name.partition(".")[0] for name, one in TYPES.items() if one.get("Hypervisor") == "xen"}
    assert sold < XEN
    assert {"g3", "p2", "p3", "f1"} <= XEN


def test_what_is_short_of_memory() -> None:
    servers = [name for name in SERVERS if not obstacle(name)]
    small = {name for name in servers if TYPES[name]["MemoryInfo"]["SizeInMiB"] < DATABASE_MEMORY_GIB * 1024}
    assert {name for name in servers if short_of_memory(name)} == small


def test_architectures_and_credits() -> None:
    for name in SERVERS:
        assert architecture(name) in TYPES[name]["ProcessorInfo"]["SupportedArchitectures"], name
        assert obstacle(name) or burstable(name) is TYPES[name]["BurstablePerformanceSupported"], name
