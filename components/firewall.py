"""The table of flows as security groups: one group per role, each rule a resource of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from topology import ports
from topology.flows import EDGE, WORLD, Flow, Peer, flows
from topology.model import Server, Topology
from topology.names import Role

ANYWHERE = "0.0.0.0/0"

# AWS cannot change a group's description: it would replace the group and with it every rule. So these are constant.
ROLE_DESCRIPTION = "Tripod: servers of one role"
EDGE_DESCRIPTION = "Tripod: the network load balancer"


@dataclass(frozen=True)
class FirewallArgs:
    """What a firewall needs to know."""

    topology: Topology
    vpc_id: pulumi.Input[str]


class Firewall(pulumi.ComponentResource):
    """Security groups of all roles and, where flows name it, of the edge. Rules reference groups, not addresses.

    An allowed flow becomes an egress rule of its source and an ingress rule of its destination; AWS keeps state, so
    answers need no rule. `group_ids` maps roles (and `edge`) to ids.
    """

    group_ids: Mapping[Peer, pulumi.Output[str]]

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:firewall:Firewall", name, None, opts)
        table = flows(args.topology)
        self.group_ids = {}
        for peer in _peers(args.topology, table):
            group = aws.ec2.SecurityGroup(
                f"{name}-{_slug(peer)}",
                vpc_id=args.vpc_id,
                description=EDGE_DESCRIPTION if peer == EDGE else ROLE_DESCRIPTION,
                tags={"Name": f"tripod-{args.topology.stack}-{_slug(peer)}"},
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.group_ids[peer] = group.id
        for flow in table:
            _allow(name, flow, self.group_ids, pulumi.ResourceOptions(parent=self))
        self.register_outputs({"groupIds": {_slug(peer): group for peer, group in self.group_ids.items()}})

    def of(self, server: Server) -> list[pulumi.Output[str]]:
        """Ids of the groups of a server: one for each of its roles."""
        return [self.group_ids[role] for role in server.roles]


def _allow(name: str, flow: Flow, groups: Mapping[Peer, pulumi.Output[str]], child: pulumi.ResourceOptions) -> None:
    protocol = str(ports.VRRP) if flow.protocol == "vrrp" else flow.protocol
    source, destination = groups.get(flow.source), groups.get(flow.destination)
    if destination is not None:
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-{flow.key}-in",
            security_group_id=destination,
            referenced_security_group_id=source,
            cidr_ipv4=ANYWHERE if flow.source == WORLD else None,
            ip_protocol=protocol,
            from_port=flow.port,
            to_port=flow.port,
            description=flow.reason,
            tags={"Name": f"{flow.key}-in"},
            opts=child,
        )
    if source is not None:
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-{flow.key}-out",
            security_group_id=source,
            referenced_security_group_id=destination,
            cidr_ipv4=ANYWHERE if flow.destination == WORLD else None,
            ip_protocol=protocol,
            from_port=flow.port,
            to_port=flow.port,
            description=flow.reason,
            tags={"Name": f"{flow.key}-out"},
            opts=child,
        )


def _peers(topology: Topology, table: Sequence[Flow]) -> list[Peer]:
    named = {peer for flow in table for peer in (flow.source, flow.destination)}
    peers: list[Peer] = [role for role in Role if topology.with_role(role)]
    return [*peers, EDGE] if EDGE in named else peers


def _slug(peer: Peer) -> str:
    return str(peer).replace("_", "-")
