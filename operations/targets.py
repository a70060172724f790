"""Whether a stack's Network Load Balancer sends requests to a server: what no server can say of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operations.aws import Aws
from operations.errors import PermissionDeniedError
from operations.fleet import Fleet, FleetServer
from topology.names import TAG_STACK, Role

_TAGGED_AT_ONCE = 20  # Elastic Load Balancing, DescribeTags: at most 20 resources a call


@dataclass
class Targets:
    """The target groups of `stack`, found by their tags; none for an edge that is no load balancer of AWS."""

    aws: Aws
    stack: str
    _groups: dict[str, int] | None = field(init=False, default=None)

    def problems(self, server: FleetServer) -> tuple[str, ...]:
        """Why no requests come to `server`, by port; empty when they do or when none should.

        Every state but `healthy` counts: one that is `initial` or `draining` carries nothing new, and one that the
        groups do not know never will. Raises OperationError when AWS refuses to tell.
        """
        if not server.has(Role.LOAD_BALANCER):
            return ()
        found = []
        for arn, port in self._of_stack().items():
            answer = self.aws.call("elbv2", "describe_target_health", TargetGroupArn=arn)
            targets = {one["Target"]["Id"]: one["TargetHealth"] for one in answer["TargetHealthDescriptions"]}
            health = targets.get(server.address, {"State": "not registered"})
            if health["State"] != "healthy":
                why = health.get("Description")
                reason = f" ({why})" if why else ""
                found.append(f"for port {port} it is {health['State']} at the Network Load Balancer{reason}")
        return tuple(found)

    def of_fleet(self, fleet: Fleet) -> tuple[Mapping[str, tuple[str, ...]], str | None]:
        """The problems of every server, by name; without the permission to ask, none of them and the reason."""
        try:
            return {server.name: self.problems(server) for server in fleet.servers}, None
        except PermissionDeniedError as error:
            return {}, f"cannot tell whether a Network Load Balancer sends requests: {error}"

    def _of_stack(self) -> dict[str, int]:
        if self._groups is None:
            ports = {one["TargetGroupArn"]: int(one["Port"]) for one in self._all_groups()}
            arns = list(ports)
            mine = set()
            for start in range(0, len(arns), _TAGGED_AT_ONCE):
                asked = arns[start : start + _TAGGED_AT_ONCE]
                for one in self.aws.call("elbv2", "describe_tags", ResourceArns=asked)["TagDescriptions"]:
                    if {"Key": TAG_STACK, "Value": self.stack} in one["Tags"]:
                        mine.add(one["ResourceArn"])
            self._groups = {arn: port for arn, port in ports.items() if arn in mine}
        return self._groups

    def _all_groups(self) -> list[dict[str, str]]:
        return list(self.aws.pages("elbv2", "describe_target_groups", "TargetGroups"))
