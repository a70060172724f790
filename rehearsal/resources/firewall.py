"""Security groups and their rules."""

from __future__ import annotations

from typing import Any, ClassVar

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, physical_name, present
from rehearsal.resources.network import retag, specification


@kind("aws:ec2/securityGroup:SecurityGroup")
class SecurityGroup(Kind):
    """A security group without rules: rules are resources of their own."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "description", "vpcId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        if inputs.get("ingress") or inputs.get("egress"):
            raise ValueError(
                "inline rules of a security group are not supported: use SecurityGroupIngressRule and "
                "SecurityGroupEgressRule"
            )
        ec2 = self.aws.client("ec2")
        group_name = physical_name(name, inputs)
        group_id = ec2.create_security_group(
            GroupName=group_name,
            Description=inputs.get("description") or "Managed by Pulumi",
            TagSpecifications=specification("security-group", inputs),
            **present(VpcId=inputs.get("vpcId")),
        )["GroupId"]
        # EC2 adds "all out" to a new group; the Terraform provider under Pulumi takes it away again.
        ec2.revoke_security_group_egress(
            GroupId=group_id,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        return Outcome(group_id, {"arn": self.aws.arn("ec2", f"security-group/{group_id}"), "name": group_name})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_security_group(GroupId=resource_id)


@kind("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
class DefaultSecurityGroup(Kind):
    """The VPC's default group, adopted and emptied."""

    taggable = True
    replace_on = frozenset({"vpcId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        if inputs.get("ingress") or inputs.get("egress"):
            raise ValueError("the default security group can only be emptied here")
        ec2 = self.aws.client("ec2")
        group = ec2.describe_security_groups(
            Filters=[
                {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
                {"Name": "group-name", "Values": ["default"]},
            ]
        )["SecurityGroups"][0]
        if group["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
        retag(self.aws, group["GroupId"], {}, inputs)
        return Outcome(group["GroupId"], {"name": "default"})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        retag(self.aws, resource_id, old, new)
        return {}


def permission(inputs: Inputs) -> dict[str, Any]:
    """The `IpPermission` of one rule."""
    description = present(Description=inputs.get("description"))
    result = present(
        IpProtocol=str(inputs["ipProtocol"]),
        FromPort=None if inputs.get("fromPort") is None else int(inputs["fromPort"]),
        ToPort=None if inputs.get("toPort") is None else int(inputs["toPort"]),
    )
    if inputs.get("referencedSecurityGroupId"):
        result["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **description}]
    if inputs.get("cidrIpv4"):
        result["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **description}]
    if inputs.get("cidrIpv6"):
        result["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **description}]
    if inputs.get("prefixListId"):
        result["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **description}]
    return result


class Rule(Kind):
    """A rule of a security group."""

    taggable = True
    direction: ClassVar[str]
    replace_on = frozenset(
        {
            "securityGroupId",
            "ipProtocol",
            "fromPort",
            "toPort",
            "cidrIpv4",
            "cidrIpv6",
            "prefixListId",
            "referencedSecurityGroupId",
        }
    )

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        authorize = getattr(self.aws.client("ec2"), f"authorize_security_group_{self.direction}")
        rules = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[permission(inputs)],
            TagSpecifications=specification("security-group-rule", inputs),
        )["SecurityGroupRules"]
        rule_id = rules[0]["SecurityGroupRuleId"]
        return Outcome(
            rule_id,
            {
                "arn": self.aws.arn("ec2", f"security-group-rule/{rule_id}"),
                "securityGroupRuleId": rule_id,
            },
        )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        if old.get("description") != new.get("description"):
            change = getattr(self.aws.client("ec2"), f"update_security_group_rule_descriptions_{self.direction}")
            change(GroupId=new["securityGroupId"], IpPermissions=[permission(new)])
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        revoke = getattr(self.aws.client("ec2"), f"revoke_security_group_{self.direction}")
        revoke(GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[resource_id])


@kind("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
class IngressRule(Rule):
    """A rule for traffic to the group."""

    direction = "ingress"


@kind("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
class EgressRule(Rule):
    """A rule for traffic from the group."""

    direction = "egress"
