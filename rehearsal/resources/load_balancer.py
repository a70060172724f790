"""Elastic Load Balancing: the Network Load Balancer of the active-active preset."""

from __future__ import annotations

from typing import Any, ClassVar

from rehearsal.resources.base import Aws, Inputs, Kind, Outcome, Outputs, kind, physical_name, present, tag_list


def retag(aws: Aws, arn: str, old: Inputs, new: Inputs) -> None:
    """Make the tags of a load balancer, listener or target group those of `new`."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    gone = [key for key in before if key not in after]
    if gone:
        aws.client("elbv2").remove_tags(ResourceArns=[arn], TagKeys=gone)
    if after and after != before:
        aws.client("elbv2").add_tags(ResourceArns=[arn], Tags=tag_list(new))


def attributes(inputs: Inputs, keys: dict[str, str]) -> list[dict[str, str]]:
    """Attributes as ELB wants them: text values under dotted keys."""
    return [
        {"Key": attribute, "Value": str(inputs[key]).lower()}
        for key, attribute in keys.items()
        if inputs.get(key) is not None
    ]


@kind("aws:lb/loadBalancer:LoadBalancer", "aws:alb/loadBalancer:LoadBalancer")
class LoadBalancer(Kind):
    """A load balancer."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "internal", "loadBalancerType"})
    ATTRIBUTES: ClassVar[dict[str, str]] = {
        "enableDeletionProtection": "deletion_protection.enabled",
        "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    }

    def create(self, name: str, inputs: Inputs) -> Outcome:
        mappings = [
            present(
                SubnetId=item["subnetId"],
                AllocationId=item.get("allocationId"),
                PrivateIPv4Address=item.get("privateIpv4Address"),
            )
            for item in inputs.get("subnetMappings") or []
        ]
        balancer = self.aws.client("elbv2").create_load_balancer(
            Name=physical_name(name, inputs, limit=32),
            Scheme="internal" if inputs.get("internal") else "internet-facing",
            Type=inputs.get("loadBalancerType") or "application",
            Tags=tag_list(inputs),
            **present(
                Subnets=inputs.get("subnets"),
                SubnetMappings=mappings or None,
                SecurityGroups=inputs.get("securityGroups"),
            ),
        )["LoadBalancers"][0]
        arn = balancer["LoadBalancerArn"]
        self._attributes(arn, inputs)
        return Outcome(
            arn,
            {
                "arn": arn,
                "arnSuffix": arn.split(":loadbalancer/")[1],
                "name": balancer["LoadBalancerName"],
                "dnsName": balancer["DNSName"],
                "zoneId": balancer["CanonicalHostedZoneId"],
            },
        )

    def _attributes(self, arn: str, inputs: Inputs) -> None:
        wanted = attributes(inputs, self.ATTRIBUTES)
        if wanted:
            self.aws.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=wanted)

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        elb = self.aws.client("elbv2")
        if new.get("securityGroups") and old.get("securityGroups") != new["securityGroups"]:
            elb.set_security_groups(LoadBalancerArn=resource_id, SecurityGroups=new["securityGroups"])
        if new.get("subnets") and old.get("subnets") != new["subnets"]:
            elb.set_subnets(LoadBalancerArn=resource_id, Subnets=new["subnets"])
        self._attributes(resource_id, new)
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("elbv2").delete_load_balancer(LoadBalancerArn=resource_id)


def health_check(inputs: Inputs) -> dict[str, Any]:
    """Arguments of a target group's health check."""
    check = inputs.get("healthCheck") or {}

    def whole(key: str) -> int | None:
        return None if check.get(key) is None else int(check[key])

    return present(
        HealthCheckProtocol=check.get("protocol"),
        HealthCheckPort=None if check.get("port") is None else str(check["port"]),
        HealthCheckPath=check.get("path"),
        HealthCheckIntervalSeconds=whole("interval"),
        HealthCheckTimeoutSeconds=whole("timeout"),
        HealthyThresholdCount=whole("healthyThreshold"),
        UnhealthyThresholdCount=whole("unhealthyThreshold"),
        Matcher={"HttpCode": check["matcher"]} if check.get("matcher") else None,
    )


@kind("aws:lb/targetGroup:TargetGroup", "aws:alb/targetGroup:TargetGroup")
class TargetGroup(Kind):
    """A target group."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "port", "protocol", "vpcId", "targetType"})
    ATTRIBUTES: ClassVar[dict[str, str]] = {
        "deregistrationDelay": "deregistration_delay.timeout_seconds",
        "proxyProtocolV2": "proxy_protocol_v2.enabled",
        "preserveClientIp": "preserve_client_ip.enabled",
        "connectionTermination": "deregistration_delay.connection_termination.enabled",
    }
    HEALTH_ATTRIBUTES: ClassVar[dict[str, str]] = {
        "enableUnhealthyConnectionTermination": "target_health_state.unhealthy.connection_termination.enabled",
        "unhealthyDrainingInterval": "target_health_state.unhealthy.draining_interval_seconds",
    }

    def create(self, name: str, inputs: Inputs) -> Outcome:
        group = self.aws.client("elbv2").create_target_group(
            Name=physical_name(name, inputs, limit=32),
            Tags=tag_list(inputs),
            **health_check(inputs),
            **present(
                Protocol=inputs.get("protocol"),
                Port=None if inputs.get("port") is None else int(inputs["port"]),
                VpcId=inputs.get("vpcId"),
                TargetType=inputs.get("targetType") or "instance",
            ),
        )["TargetGroups"][0]
        arn = group["TargetGroupArn"]
        self._attributes(arn, inputs)
        return Outcome(
            arn,
            {"arn": arn, "arnSuffix": arn.split(":", 5)[5], "name": group["TargetGroupName"]},
        )

    def _attributes(self, arn: str, inputs: Inputs) -> None:
        wanted = attributes(inputs, self.ATTRIBUTES)
        for state in inputs.get("targetHealthStates") or []:
            wanted += attributes(state, self.HEALTH_ATTRIBUTES)
        if wanted:
            self.aws.client("elbv2").modify_target_group_attributes(TargetGroupArn=arn, Attributes=wanted)

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        check = health_check(new)
        if check and old.get("healthCheck") != new.get("healthCheck"):
            self.aws.client("elbv2").modify_target_group(TargetGroupArn=resource_id, **check)
        self._attributes(resource_id, new)
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("elbv2").delete_target_group(TargetGroupArn=resource_id)


def actions(inputs: Inputs) -> list[dict[str, Any]]:
    """A listener's default actions."""
    return [
        present(Type=action["type"], TargetGroupArn=action.get("targetGroupArn")) for action in inputs["defaultActions"]
    ]


@kind("aws:lb/listener:Listener", "aws:alb/listener:Listener")
class Listener(Kind):
    """A listener of a load balancer."""

    taggable = True
    replace_on = frozenset({"loadBalancerArn"})

    def _arguments(self, inputs: Inputs) -> dict[str, Any]:
        return present(
            Protocol=inputs.get("protocol"),
            Port=None if inputs.get("port") is None else int(inputs["port"]),
            DefaultActions=actions(inputs),
        )

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        listener = self.aws.client("elbv2").create_listener(
            LoadBalancerArn=inputs["loadBalancerArn"], Tags=tag_list(inputs), **self._arguments(inputs)
        )["Listeners"][0]
        return Outcome(listener["ListenerArn"], {"arn": listener["ListenerArn"]})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        self.aws.client("elbv2").modify_listener(ListenerArn=resource_id, **self._arguments(new))
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("elbv2").delete_listener(ListenerArn=resource_id)


@kind("aws:lb/targetGroupAttachment:TargetGroupAttachment", "aws:alb/targetGroupAttachment:TargetGroupAttachment")
class TargetGroupAttachment(Kind):
    """A target of a group."""

    replace_on = frozenset({"targetGroupArn", "targetId", "port"})

    def _target(self, inputs: Inputs) -> dict[str, Any]:
        return present(Id=inputs["targetId"], Port=None if inputs.get("port") is None else int(inputs["port"]))

    def create(self, name: str, inputs: Inputs) -> Outcome:
        self.aws.client("elbv2").register_targets(
            TargetGroupArn=inputs["targetGroupArn"], Targets=[self._target(inputs)]
        )
        return Outcome(f"{inputs['targetGroupArn']}-{name}")

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("elbv2").deregister_targets(
            TargetGroupArn=inputs["targetGroupArn"], Targets=[self._target(inputs)]
        )
