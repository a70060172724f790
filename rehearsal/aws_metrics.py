"""What AWS itself would measure now: status checks of instances, healthy targets of Network Load Balancers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from rehearsal.alarms import Sample
from rehearsal.machine import Power
from rehearsal.proxy_protocol import Endpoint
from rehearsal.target_health import State
from rehearsal.view import Instance

RUNNING = {"pending", "running"}


def status_checks(hosts: Iterable[tuple[Instance, Power]]) -> Iterator[Sample]:
    """EC2's status checks of each instance, from the power of the host that it is.

    A host without power though EC2 calls it running is hardware that broke: both checks fail. An instance that is
    stopped, by whomever, has no checks. What the checks of real EC2 also find (a kernel that hangs, a network that
    does not answer ARP) is not looked for.
    """
    for instance, power in hosts:
        if instance.state in RUNNING:
            failed = float(power is Power.OFF)
            for check in ("StatusCheckFailed_System", "StatusCheckFailed_Instance", "StatusCheckFailed"):
                yield Sample("AWS/EC2", check, {"InstanceId": instance.id}, failed)


def target_health(
    states: Mapping[tuple[str, Endpoint], State], balancers: Mapping[str, Iterable[str]]
) -> Iterator[Sample]:
    """Healthy and unhealthy targets of each target group that a load balancer uses.

    `states` are by (ARN of the group, target); `balancers` are ARNs of load balancers by ARN of the group.
    """
    groups: dict[str, list[State]] = defaultdict(list)
    for (group, _), state in states.items():
        groups[group].append(state)
    for group, found in groups.items():
        for balancer in balancers.get(group, ()):
            dimensions = {
                "LoadBalancer": balancer.split(":loadbalancer/")[1],
                "TargetGroup": group.rsplit(":", 1)[1],
            }
            for metric, wanted in (("HealthyHostCount", State.HEALTHY), ("UnHealthyHostCount", State.UNHEALTHY)):
                yield Sample("AWS/NetworkELB", metric, dimensions, float(found.count(wanted)))
