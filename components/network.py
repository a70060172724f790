"""The stack's own network: a VPC, one public subnet per zone, the way out, and a free private way to S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from topology.model import Topology


@dataclass(frozen=True)
class NetworkArgs:
    """What a network needs to know."""

    topology: Topology


class Network(pulumi.ComponentResource):
    """VPC, subnets, internet gateway, routes and the S3 gateway endpoint.

    `subnet_ids` maps the topology's subnet names to ids.
    """

    vpc_id: pulumi.Output[str]
    subnet_ids: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:network:Network", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topology = args.topology
        label = f"tripod-{topology.stack}"

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(topology.network_cidr),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": label},
            opts=child,
        )
        # A VPC's default group lets its members talk freely. Adopted without rules it lets nobody do anything.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default-group", vpc_id=vpc.id, tags={"Name": f"{label}-default-unused"}, opts=child
        )
        gateway = aws.ec2.InternetGateway(f"{name}-gateway", vpc_id=vpc.id, tags={"Name": label}, opts=child)
        table = aws.ec2.RouteTable(f"{name}-routes", vpc_id=vpc.id, tags={"Name": label}, opts=child)
        aws.ec2.Route(
            f"{name}-route-out",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=child,
        )
        self.subnet_ids = {}
        for subnet in topology.subnets:
            resource = aws.ec2.Subnet(
                f"{name}-{subnet.name}",
                vpc_id=vpc.id,
                cidr_block=str(subnet.cidr),
                availability_zone=subnet.zone,
                # Servers reach AWS and the package mirrors by a public address of their own: no NAT gateway to pay
                # for or to lose. It is set here because on an instance it is lost when that is stopped, and the next
                # refresh would then replace the instance.
                map_public_ip_on_launch=True,
                tags={"Name": f"{label}-{subnet.name}"},
                opts=child,
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-{subnet.name}-routes", subnet_id=resource.id, route_table_id=table.id, opts=child
            )
            self.subnet_ids[subnet.name] = resource.id
        # Bundles and backups stay inside the AWS network, without a charge for traffic.
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{topology.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id],
            tags={"Name": f"{label}-s3"},
            opts=child,
        )
        self.vpc_id = vpc.id
        self.register_outputs({"vpcId": self.vpc_id, "subnetIds": dict(self.subnet_ids)})
