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
    """The region's zones that every account may use, by name: no Local and no Wavelength Zones.

    In whatever state: a stack must not move because one of its zones has an outage.
    """
    found = aws.get_availability_zones(filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}], opts=ask)
    return sorted(found.names)


def missing_offers(topology: Topology, zone_names: Sequence[str], ask: pulumi.InvokeOptions) -> str | None:
    """What to tell when a server's zone does not offer its type, as an old zone of a large region may; else None.

    Nobody is refused for it: a running server may be of a type that its zone offers no more.
    """
    wanted = sorted({server.instance_type for server in topology.servers})
    found = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone", filters=[{"name": "instance-type", "values": wanted}], opts=ask
    )
    offers = set(zip(found.instance_types or (), found.locations or (), strict=True))
    # A type without any offer is not a question of zones: RunInstances says it better.
    known = {kind for kind, _ in offers}
    missing = {
        f"{server.instance_type} in {server.zone}"
        for server in topology.servers
        if server.instance_type in known and (server.instance_type, server.zone) not in offers
    }
    if not missing:
        return None
    offering = [zone for zone in zone_names if all((kind, zone) in offers for kind in known)]
    return (
        f"AWS offers no {', no '.join(sorted(missing))}: it will refuse to start new servers there. "
        f"Zones that offer what this stack uses: {', '.join(offering) or 'none'}. Before the first `pulumi up`, name "
        "some of them in tripod:zones. A stack that is there cannot move: give its servers another instanceType."
    )


def image(topology: Topology, ask: pulumi.InvokeOptions) -> str:
    """The image of the stack: its own, or the current one of Ubuntu 26.04 LTS for its architecture."""
    if topology.image:
        return topology.image
    name = UBUNTU.format(architecture=ARCHITECTURES[topology.architecture])
    # Not `value`, which the provider takes for a secret.
    return aws.ssm.get_parameter(name=name, opts=ask).insecure_value
