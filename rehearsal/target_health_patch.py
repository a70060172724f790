"""DescribeTargetHealth tells what the nodes of a load balancer see; moto's own says that every target is healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus

from rehearsal.balancer_spec import endpoint
from rehearsal.moto_changes import Changes
from rehearsal.proxy_protocol import Endpoint
from rehearsal.target_health import State

States = Mapping[tuple[str, Endpoint], State]
"""(ARN of the target group, target) -> its state."""

REASONS = {
    State.INITIAL: ("Elb.InitialHealthChecking", "Initial health checks in progress"),
    State.UNHEALTHY: ("Target.FailedHealthChecks", "Health checks failed"),
    State.DRAINING: ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
    State.UNUSED: ("Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"),
}
"""Codes of the API reference, "TargetHealth"; a healthy target has none."""


def install(changes: Changes, states: Callable[[], States]) -> None:
    """Let moto tell `states()`."""
    original = ELBv2Backend.describe_target_health

    def describe_target_health(self: Any, target_group_arn: str, targets: list[dict[str, Any]]) -> Any:
        seen = states()
        asked = list(targets or [])
        group = self.target_groups.get(target_group_arn)
        if group is not None and not asked:
            leaving = [
                target
                for target in group.deregistered_targets.values()
                if seen.get((target_group_arn, endpoint(self, target))) is State.DRAINING
            ]
            asked = [*group.targets.values(), *leaving]
            if not asked:
                return []
        return [_told(self, target_group_arn, one, seen) for one in original(self, target_group_arn, asked)]

    changes.attribute(ELBv2Backend, "describe_target_health", describe_target_health)


def _told(backend: Any, arn: str, one: Any, seen: States) -> Any:
    group = backend.target_groups[arn]
    known = group.targets.get(one.instance_id) or group.deregistered_targets.get(one.instance_id)
    if known is None or one.reason == "Target.InvalidState":
        return one
    state = seen.get((arn, endpoint(backend, known)))
    if state is None:
        if one.instance_id in group.deregistered_targets:
            return one
        state = State.INITIAL if group.load_balancer_arns else State.UNUSED
    reason, description = REASONS.get(state, (None, None))
    return FakeHealthStatus(one.instance_id, one.port, one.health_check_port, state.value, reason, description)
