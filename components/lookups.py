"""What AWS is asked before anything is made. The answers are plain values, so previews know everything."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from components.permissions import Account
from topology.model import Topology

# Canonical publishes the current image of each release as a public parameter
# (Ubuntu on AWS documentation, "Find Ubuntu images on AWS").
UBUNTU = "/aws/service/canonical/ubuntu/server/26.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id"
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


def account(region: str, ask: pulumi.InvokeOptions) -> Account:
    """The account and partition that the provider's credentials lead to."""
    return Account(
        id=aws.get_caller_identity(opts=ask).account_id,
        partition=aws.get_partition(opts=ask).partition,
        region=region,
    )


def zones(ask: pulumi.InvokeOptions) -> list[str]:
    """The region's zones that every account may use: no Local and no Wavelength Zones."""
    found = aws.get_availability_zones(
        state="available", filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}], opts=ask
    )
    return list(found.names)


def zones_offering(zone_names: Sequence[str], instance_types: Sequence[str], ask: pulumi.InvokeOptions) -> list[str]:
    """Those of `zone_names` that offer every one of `instance_types`; large regions have an old zone that does not."""
    wanted = sorted(set(instance_types))
    found = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone", filters=[{"name": "instance-type", "values": wanted}], opts=ask
    )
    offers = set(zip(found.instance_types or (), found.locations or (), strict=True))
    offering = [zone for zone in zone_names if all((kind, zone) in offers for kind in wanted)]
    # No offer anywhere is not a question of zones: RunInstances says it better.
    return offering or list(zone_names)


def image(topology: Topology, ask: pulumi.InvokeOptions) -> str:
    """The image of the stack: its own, or the current one of Ubuntu 26.04 LTS for its architecture."""
    if topology.image:
        return topology.image
    name = UBUNTU.format(architecture=ARCHITECTURES[topology.architecture])
    # Not `value`, which the provider takes for a secret.
    return aws.ssm.get_parameter(name=name, opts=ask).insecure_value
