"""How the world reaches the load balancers: Elastic IPs or a Network Load Balancer, and the names that lead there.

An edge is made in two steps, because the servers' certificates want its names, and it wants the servers: `Edge`
allocates, `EdgeTargets` connects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.firewall import Firewall
from components.network import Network
from components.server import Server
from topology import ports
from topology.draining import NLB_CHECK_COUNT, NLB_CHECK_INTERVAL, NLB_CHECK_TIMEOUT
from topology.flows import EDGE
from topology.model import Topology
from topology.names import Edge as Kind

# Seconds. How long a leaving load balancer may finish its requests.
DRAIN = 30

RECORD_TTL = 60


@dataclass(frozen=True)
class EdgeArgs:
    """What an edge needs to know."""

    topology: Topology
    network: Network
    firewall: Firewall
    deletion_protection: bool


class Edge(pulumi.ComponentResource):
    """Allocates the stack's public addresses or its load balancer.

    `host` is what a browser can be pointed at, `addresses` the public IP addresses (none for a load balancer, whose
    addresses are AWS's to change), `names` further DNS names it answers to.
    """

    host: pulumi.Output[str]
    addresses: Sequence[pulumi.Output[str]]
    names: Sequence[pulumi.Output[str]]
    allocations: Mapping[str, aws.ec2.Eip]

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:edge:Edge", name, None, opts)
        topology = args.topology
        # Not annotated in the class: the engine's SDK would read it there, and import aws.lb for every kind of edge.
        self.balancer: aws.lb.LoadBalancer | None = None
        self.allocations = {}
        match topology.edge:
            case Kind.EIP | Kind.FLOATING_EIP:
                self.allocations = {"address": self._address(f"{name}-address", f"tripod-{topology.stack}")}
            case Kind.DNS:
                self.allocations = {
                    server.name: self._address(f"{name}-{server.name}", f"tripod-{topology.stack}-{server.name}")
                    for server in topology.load_balancers
                }
            case Kind.NLB:
                self.balancer = self._balancer(f"{name}-nlb", args)
        self.addresses = [address.public_ip for address in self.allocations.values()]
        self.names = [self.balancer.dns_name] if self.balancer else []
        self.host = pulumi.Output.from_input(topology.domain) if topology.domain else [*self.addresses, *self.names][0]
        self.register_outputs({"host": self.host, "addresses": self.addresses, "names": self.names})

    def _address(self, name: str, label: str) -> aws.ec2.Eip:
        # A released address is gone for good, and with it every DNS record and allow list that names it. It depends
        # on nothing, so that a protected address does not keep the network alive in `destroy --exclude-protected`.
        return aws.ec2.Eip(
            name, domain="vpc", tags={"Name": label}, opts=pulumi.ResourceOptions(parent=self, protect=True)
        )

    def _balancer(self, name: str, args: EdgeArgs) -> aws.lb.LoadBalancer:
        return aws.lb.LoadBalancer(
            name,
            load_balancer_type="network",
            internal=False,
            subnets=list(args.network.subnet_ids.values()),
            # Without a group from the start a network load balancer can never be given one.
            security_groups=[args.firewall.group_ids[EDGE]],
            # There may be fewer load balancers than zones.
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=args.deletion_protection,
            tags={"Name": f"tripod-{args.topology.stack}"},
            opts=pulumi.ResourceOptions(parent=self, protect=True, depends_on=[args.network]),
        )


@dataclass(frozen=True)
class EdgeTargetsArgs:
    """What connects an edge to its servers."""

    topology: Topology
    network: Network
    edge: Edge
    servers: Mapping[str, Server]


class EdgeTargets(pulumi.ComponentResource):
    """Leads the edge to the load balancers, and the domain to the edge.

    With a floating address there is no association here: it moves at run time, and a managed one would be moved
    back by the next `pulumi up`. `groups` are the target groups of a Network Load Balancer, by listener.
    """

    def __init__(self, name: str, args: EdgeTargetsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:edge:EdgeTargets", name, None, opts)
        self.groups: dict[str, aws.lb.TargetGroup] = {}
        match args.topology.edge:
            case Kind.EIP:
                server = args.topology.load_balancers[0].name
                self._associate(f"{name}-address", args, "address", server)
            case Kind.DNS:
                for spec in args.topology.load_balancers:
                    self._associate(f"{name}-{spec.name}", args, spec.name, spec.name)
            case Kind.NLB:
                assert args.edge.balancer is not None  # noqa: S101  (made for this edge by Edge)
                for listener, port in ports.LISTENERS.items():
                    group = self._listen(f"{name}-{listener}", args, args.edge.balancer, port)
                    self.groups[listener] = group
            case Kind.FLOATING_EIP:
                pass
        if args.topology.domain and args.topology.hosted_zone_id:
            if args.topology.edge is Kind.DNS:
                self._checked_records(name, args, args.topology.domain, args.topology.hosted_zone_id)
            else:
                self._record(name, args, args.topology.domain, args.topology.hosted_zone_id)
        self.register_outputs({})

    def _associate(self, name: str, args: EdgeTargetsArgs, allocation: str, server: str) -> None:
        aws.ec2.EipAssociation(
            name,
            allocation_id=args.edge.allocations[allocation].allocation_id,
            instance_id=args.servers[server].instance_id,
            # The way out must still be there when the address leaves.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.network], delete_before_replace=True),
        )

    def _listen(self, name: str, args: EdgeTargetsArgs, balancer: aws.lb.LoadBalancer, port: int) -> aws.lb.TargetGroup:
        child = pulumi.ResourceOptions(parent=self)
        group = aws.lb.TargetGroup(
            name,
            port=port,
            protocol="TCP",
            vpc_id=args.network.vpc_id,
            # By private address, so that a server that is made anew is the same target.
            target_type="ip",
            # The client's address travels in the proxy protocol. Preserving it on the wire as well would break a
            # server that calls its own site (no hairpin) and the rules that reference the load balancer's group.
            proxy_protocol_v2=True,
            preserve_client_ip="false",
            deregistration_delay=DRAIN,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                # HAProxy's own word, which turns bad before a planned stop; its open port would say nothing.
                protocol="HTTP",
                port=str(ports.HAPROXY_HEALTH),
                path="/healthz",
                matcher="200",
                interval=NLB_CHECK_INTERVAL,
                timeout=NLB_CHECK_TIMEOUT,
                healthy_threshold=NLB_CHECK_COUNT,
                unhealthy_threshold=NLB_CHECK_COUNT,
            ),
            # A load balancer that drains is unhealthy for the checks, and must finish what it has begun.
            target_health_states=[
                aws.lb.TargetGroupTargetHealthStateArgs(
                    enable_unhealthy_connection_termination=False, unhealthy_draining_interval=DRAIN
                )
            ],
            tags={"Name": f"tripod-{args.topology.stack}-{port}"},
            opts=child,
        )
        for server in args.topology.load_balancers:
            aws.lb.TargetGroupAttachment(
                f"{name}-{server.name}",
                target_group_arn=group.arn,
                target_id=str(server.address),
                port=port,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[args.servers[server.name]]),
            )
        aws.lb.Listener(
            f"{name}-listener",
            load_balancer_arn=balancer.arn,
            port=port,
            protocol="TCP",
            default_actions=[aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=group.arn)],
            opts=child,
        )
        return group

    def _record(self, name: str, args: EdgeTargetsArgs, domain: str, zone: str) -> None:
        balancer = args.edge.balancer
        alias = None
        if balancer:
            alias = aws.route53.RecordAliasArgs(
                name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=True
            )
        aws.route53.Record(
            f"{name}-record",
            zone_id=zone,
            name=domain,
            type="A",
            records=None if balancer else list(args.edge.addresses),
            ttl=None if balancer else RECORD_TTL,
            aliases=[alias] if alias else None,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _checked_records(self, name: str, args: EdgeTargetsArgs, domain: str, zone: str) -> None:
        child = pulumi.ResourceOptions(parent=self)
        for server, address in args.edge.allocations.items():
            check = aws.route53.HealthCheck(
                f"{name}-{server}-check",
                type="TCP",
                ip_address=address.public_ip,
                port=ports.HTTPS,
                request_interval=10,
                failure_threshold=2,
                tags={"Name": f"tripod-{args.topology.stack}-{server}"},
                opts=child,
            )
            aws.route53.Record(
                f"{name}-{server}-record",
                zone_id=zone,
                name=domain,
                type="A",
                records=[address.public_ip],
                ttl=RECORD_TTL,
                set_identifier=server,
                health_check_id=check.id,
                multivalue_answer_routing_policy=True,
                opts=child,
            )
