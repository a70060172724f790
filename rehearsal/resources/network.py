"""The network: VPC, subnets, routes and endpoints."""

from __future__ import annotations

from typing import Any

from rehearsal.resources.base import Aws, Inputs, Kind, Outcome, Outputs, kind, present, tag_list


def specification(resource: str, inputs: Inputs) -> list[dict[str, Any]]:
    """`TagSpecifications` of an EC2 call that creates `resource`."""
    tags = tag_list(inputs)
    return [{"ResourceType": resource, "Tags": tags}] if tags else []


def retag(aws: Aws, resource_id: str, old: Inputs, new: Inputs) -> None:
    """Make the tags of an EC2 resource those of `new`."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    gone = [{"Key": key} for key in before if key not in after]
    if gone:
        aws.client("ec2").delete_tags(Resources=[resource_id], Tags=gone)
    if after and after != before:
        aws.client("ec2").create_tags(Resources=[resource_id], Tags=tag_list(new))


@kind("aws:ec2/vpc:Vpc")
class Vpc(Kind):
    """A VPC and its DNS attributes."""

    taggable = True
    replace_on = frozenset({"cidrBlock", "instanceTenancy"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock=inputs["cidrBlock"], TagSpecifications=specification("vpc", inputs))["Vpc"]
        vpc_id = vpc["VpcId"]
        self._attributes(vpc_id, inputs)
        group = ec2.describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": ["default"]}]
        )["SecurityGroups"][0]
        table = ec2.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [vpc_id]},
                {"Name": "association.main", "Values": ["true"]},
            ]
        )["RouteTables"][0]
        return Outcome(
            vpc_id,
            {
                "arn": self.aws.arn("ec2", f"vpc/{vpc_id}"),
                "defaultSecurityGroupId": group["GroupId"],
                "mainRouteTableId": table["RouteTableId"],
                "defaultRouteTableId": table["RouteTableId"],
            },
        )

    def _attributes(self, vpc_id: str, inputs: Inputs) -> None:
        ec2 = self.aws.client("ec2")
        for key, attribute in (
            ("enableDnsSupport", "EnableDnsSupport"),
            ("enableDnsHostnames", "EnableDnsHostnames"),
        ):
            if key in inputs:
                ec2.modify_vpc_attribute(VpcId=vpc_id, **{attribute: {"Value": inputs[key]}})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        self._attributes(resource_id, new)
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_vpc(VpcId=resource_id)


@kind("aws:ec2/subnet:Subnet")
class Subnet(Kind):
    """A subnet in one zone."""

    taggable = True
    replace_on = frozenset({"cidrBlock", "availabilityZone", "vpcId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        subnet = self.aws.client("ec2").create_subnet(
            TagSpecifications=specification("subnet", inputs),
            **present(
                VpcId=inputs["vpcId"],
                CidrBlock=inputs["cidrBlock"],
                AvailabilityZone=inputs.get("availabilityZone"),
            ),
        )["Subnet"]
        self._public(subnet["SubnetId"], inputs)
        return Outcome(
            subnet["SubnetId"],
            {"arn": subnet["SubnetArn"], "availabilityZone": subnet["AvailabilityZone"]},
        )

    def _public(self, subnet_id: str, inputs: Inputs) -> None:
        if "mapPublicIpOnLaunch" in inputs:
            self.aws.client("ec2").modify_subnet_attribute(
                SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]}
            )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        self._public(resource_id, new)
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_subnet(SubnetId=resource_id)


@kind("aws:ec2/internetGateway:InternetGateway")
class InternetGateway(Kind):
    """An Internet gateway, attached to its VPC."""

    taggable = True
    replace_on = frozenset({"vpcId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        gateway = ec2.create_internet_gateway(TagSpecifications=specification("internet-gateway", inputs))[
            "InternetGateway"
        ]["InternetGatewayId"]
        if "vpcId" in inputs:
            ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=inputs["vpcId"])
        return Outcome(gateway, {"arn": self.aws.arn("ec2", f"internet-gateway/{gateway}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        if "vpcId" in inputs:
            ec2.detach_internet_gateway(InternetGatewayId=resource_id, VpcId=inputs["vpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=resource_id)


def route_target(inputs: Inputs) -> dict[str, Any]:
    """Destination and target of a route, as `create_route` wants them."""
    return present(
        DestinationCidrBlock=inputs.get("destinationCidrBlock") or inputs.get("cidrBlock"),
        DestinationIpv6CidrBlock=inputs.get("destinationIpv6CidrBlock") or inputs.get("ipv6CidrBlock"),
        GatewayId=inputs.get("gatewayId"),
        NatGatewayId=inputs.get("natGatewayId"),
        NetworkInterfaceId=inputs.get("networkInterfaceId"),
    )


@kind("aws:ec2/routeTable:RouteTable")
class RouteTable(Kind):
    """A route table, with its inline routes when it has any."""

    taggable = True
    replace_on = frozenset({"vpcId", "routes"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        table = ec2.create_route_table(VpcId=inputs["vpcId"], TagSpecifications=specification("route-table", inputs))[
            "RouteTable"
        ]["RouteTableId"]
        for route in inputs.get("routes") or []:
            ec2.create_route(RouteTableId=table, **route_target(route))
        return Outcome(table, {"arn": self.aws.arn("ec2", f"route-table/{table}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_route_table(RouteTableId=resource_id)


@kind("aws:ec2/defaultRouteTable:DefaultRouteTable")
class DefaultRouteTable(Kind):
    """The VPC's main route table, adopted: only its tags are managed here."""

    taggable = True

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        table = inputs["defaultRouteTableId"]
        retag(self.aws, table, {}, inputs)
        return Outcome(table, {"arn": self.aws.arn("ec2", f"route-table/{table}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}


@kind("aws:ec2/route:Route")
class Route(Kind):
    """One route of a table."""

    replace_on = frozenset({"routeTableId", "destinationCidrBlock", "gatewayId", "natGatewayId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        target = route_target(inputs)
        self.aws.client("ec2").create_route(RouteTableId=inputs["routeTableId"], **target)
        destination = target.get("DestinationCidrBlock") or target.get("DestinationIpv6CidrBlock")
        return Outcome(f"r-{inputs['routeTableId']}-{destination}", {"state": "active"})

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_route(
            RouteTableId=inputs["routeTableId"], DestinationCidrBlock=inputs["destinationCidrBlock"]
        )


@kind("aws:ec2/routeTableAssociation:RouteTableAssociation")
class RouteTableAssociation(Kind):
    """A subnet's route table."""

    replace_on = frozenset({"subnetId", "routeTableId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        return Outcome(
            self.aws.client("ec2").associate_route_table(
                SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"]
            )["AssociationId"]
        )

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").disassociate_route_table(AssociationId=resource_id)


@kind("aws:ec2/vpcEndpoint:VpcEndpoint")
class VpcEndpoint(Kind):
    """A gateway or interface endpoint. It carries no traffic here: hosts reach the emulated AWS anyway."""

    taggable = True
    replace_on = frozenset({"vpcId", "serviceName", "vpcEndpointType"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        endpoint = self.aws.client("ec2").create_vpc_endpoint(
            TagSpecifications=specification("vpc-endpoint", inputs),
            **present(
                VpcId=inputs["vpcId"],
                ServiceName=inputs["serviceName"],
                VpcEndpointType=inputs.get("vpcEndpointType") or "Gateway",
                RouteTableIds=inputs.get("routeTableIds"),
                SubnetIds=inputs.get("subnetIds"),
                SecurityGroupIds=inputs.get("securityGroupIds"),
                PolicyDocument=inputs.get("policy"),
                PrivateDnsEnabled=inputs.get("privateDnsEnabled"),
            ),
        )["VpcEndpoint"]["VpcEndpointId"]
        return Outcome(endpoint, {"arn": self.aws.arn("ec2", f"vpc-endpoint/{endpoint}"), "state": "available"})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[resource_id])


@kind("aws:ec2/flowLog:FlowLog")
class FlowLog(Kind):
    """A VPC's flow log: recorded, nothing is logged."""

    taggable = True
    replace_on = frozenset({"vpcId", "trafficType", "logDestination", "iamRoleArn", "maxAggregationInterval"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        answer = self.aws.client("ec2").create_flow_logs(
            TagSpecifications=specification("vpc-flow-log", inputs),
            **present(
                ResourceIds=[inputs["vpcId"]],
                ResourceType="VPC",
                TrafficType=inputs.get("trafficType"),
                LogDestinationType=inputs.get("logDestinationType"),
                LogDestination=inputs.get("logDestination"),
                DeliverLogsPermissionArn=inputs.get("iamRoleArn"),
                MaxAggregationInterval=inputs.get("maxAggregationInterval"),
            ),
        )
        if answer.get("Unsuccessful"):
            raise RuntimeError(answer["Unsuccessful"][0]["Error"]["Message"])
        return Outcome(answer["FlowLogIds"][0])

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_flow_logs(FlowLogIds=[resource_id])
