"""CloudWatch, the second watcher: it sees servers, load balancer and the monitoring itself from outside.

Alarm names are given, not generated, so that a dashboard can name them before they exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

from components.dashboard import Contents, Watched, dashboard_body
from components.edge import Edge, EdgeTargets
from components.permissions import Account
from components.runbook import runbook
from components.server import Server
from components.topic import AlertTopic
from topology import names, ports
from topology.model import Server as Spec
from topology.model import Topology
from topology.names import Edge as Kind

# Seconds. EC2 status checks, the heartbeat and a network load balancer all give one value a minute.
PERIOD = 60
# Burstable types give their credits every five minutes.
CREDIT_PERIOD = 300


@dataclass(frozen=True)
class MonitoringArgs:
    """What CloudWatch watches, and whom it tells."""

    topology: Topology
    account: Account
    topic: AlertTopic
    servers: Mapping[str, Server]
    edge: Edge
    targets: EdgeTargets


@dataclass(frozen=True)
class Watch:
    """One alarm. `missing` is what no data means: `breaching`, `notBreaching`, `ignore` or `missing`.

    `server` and `listener` say whose metric it is; without both it is one of the whole stack.
    """

    subject: str
    symptom: str
    says: str
    namespace: str
    metric: str
    comparison: str
    threshold: float
    statistic: str = "Maximum"
    period: int = PERIOD
    count: int = 2
    missing: str = "missing"
    server: str | None = None
    listener: str | None = None

    @property
    def description(self) -> str:
        """What the alarm says on AWS and in the message about it."""
        return f"{self.says} What to do: {runbook(self.symptom)}"


class Monitoring(pulumi.ComponentResource):
    """Every CloudWatch alarm of a stack, and the dashboard. Each alarm tells when it fires and when it is over."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:monitoring:Monitoring", name, None, opts)
        self._name, self._args = name, args
        for watch in watches(args.topology):
            self._alarm(watch, self._dimensions(watch))
        watched = [Watched(one.subject, one.symptom, f"{one.subject}: {one.metric}") for one in watches(args.topology)]
        aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=names.dashboard(args.topology.stack),
            dashboard_body=dashboard_body(Contents(args.topology, args.account, watched)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def _dimensions(self, watch: Watch) -> dict[str, pulumi.Input[str]]:
        if watch.server:
            return {"InstanceId": self._args.servers[watch.server].instance_id}
        if self._args.edge.balancer and watch.listener:
            group = self._args.targets.groups[watch.listener]
            # CloudWatch names a target group by the last part of its ARN ("Metrics for your Network Load Balancer").
            suffix = group.arn.apply(lambda arn: arn.rsplit(":", 1)[-1])
            return {"LoadBalancer": self._args.edge.balancer.arn_suffix, "TargetGroup": suffix}
        return {}

    def _alarm(self, watch: Watch, dimensions: Mapping[str, pulumi.Input[str]]) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{watch.subject}-{watch.symptom}",
            name=names.alarm(self._args.topology.stack, watch.subject, watch.symptom),
            alarm_description=watch.description,
            namespace=watch.namespace,
            metric_name=watch.metric,
            dimensions=dict(dimensions),
            statistic=watch.statistic,
            period=watch.period,
            evaluation_periods=watch.count,
            comparison_operator=watch.comparison,
            threshold=watch.threshold,
            treat_missing_data=watch.missing,
            alarm_actions=[self._args.topic.arn],
            ok_actions=[self._args.topic.arn],
            # An alarm that fires before it may publish tells nobody.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._args.topic.policy]),
        )


def watches(topology: Topology) -> list[Watch]:
    """Every alarm of a stack, the same at every evaluation."""
    return [
        *(replace(one, server=server.name) for server in topology.servers for one in server_watches(server)),
        *([heartbeat_watch(topology.stack)] if topology.monitors else []),
        *(
            replace(one, listener=listener)
            for listener in ports.LISTENERS
            if topology.edge is Kind.NLB
            for one in target_watches(listener)
        ),
    ]


def server_watches(server: Spec) -> list[Watch]:
    """What is watched of each server.

    EC2 recovers an instance whose host is broken by itself (simplified automatic recovery, on by default), so the
    alarm on the system check only tells. A server that is powered off gives no checks at all: missing is breaching.
    """
    watches = [
        Watch(
            server.name,
            "system",
            f"The hardware or network of AWS under {server.name} fails its check. EC2 moves the server by itself.",
            "AWS/EC2",
            "StatusCheckFailed_System",
            "GreaterThanThreshold",
            0,
        ),
        Watch(
            server.name,
            "instance",
            f"{server.name} is off, or does not answer its instance check. The others serve without it.",
            "AWS/EC2",
            "StatusCheckFailed_Instance",
            "GreaterThanThreshold",
            0,
            missing="breaching",
        ),
    ]
    if server.burstable:
        # Unlimited credits, the default of t3 and later: nothing slows down, but AWS charges for the surplus. Their
        # balance is no sign: it is nought after every start.
        watches.append(
            Watch(
                server.name,
                "credits",
                f"{server.name} works more than its instance type is made for. AWS charges for the surplus: "
                "use a larger type.",
                "AWS/EC2",
                "CPUSurplusCreditsCharged",
                "GreaterThanThreshold",
                0,
                period=CREDIT_PERIOD,
            )
        )
    return watches


def heartbeat_watch(stack: str) -> Watch:
    """The dead man's switch: any of the monitoring servers beats while it can alert; silence means that none can."""
    return Watch(
        "monitoring",
        "heartbeat",
        "No monitoring server can send alerts. The site may be well, but nothing but CloudWatch watches it.",
        names.metrics_namespace(stack),
        names.HEARTBEAT_METRIC,
        "LessThanThreshold",
        1,
        count=3,
        missing="breaching",
    )


def target_watches(listener: str) -> list[Watch]:
    """What is watched of one target group of a Network Load Balancer."""
    return [
        Watch(
            f"edge-{listener}",
            "unhealthy",
            "The Network Load Balancer finds a load balancer unhealthy. The others serve.",
            "AWS/NetworkELB",
            "UnHealthyHostCount",
            "GreaterThanThreshold",
            0,
        ),
        Watch(
            f"edge-{listener}",
            "down",
            "The Network Load Balancer finds no healthy load balancer: the site is down.",
            "AWS/NetworkELB",
            "HealthyHostCount",
            "LessThanThreshold",
            1,
            missing="breaching",
        ),
    ]
