"""The log groups of a stack: what its servers ship stays there for as long as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from topology import names
from topology.model import Topology
from topology.names import Log


@dataclass(frozen=True)
class LogsArgs:
    """Whose logs, and for how many days."""

    topology: Topology
    retention_days: int


class Logs(pulumi.ComponentResource):
    """One log group for each kind of log that a server of the stack ships, encrypted by CloudWatch Logs itself.

    The names are given, so that servers and their permissions know them before the groups exist. Servers depend on
    their groups: those come first, and go last.
    """

    groups: Mapping[Log, aws.cloudwatch.LogGroup]

    def __init__(self, name: str, args: LogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:logs:Logs", name, None, opts)
        label = names.PROJECT + "-" + args.topology.stack
        shipped = {log for server in args.topology.servers for log in server.logs}
        self.groups = {
            log: aws.cloudwatch.LogGroup(
                f"{name}-{log.value}",
                name=names.log_group(args.topology.stack, log),
                retention_in_days=args.retention_days,
                tags={"Name": f"{label}-{log.value}"},
                opts=pulumi.ResourceOptions(parent=self),
            )
            for log in Log
            if log in shipped
        }
        self.register_outputs({log.value: group.arn for log, group in self.groups.items()})
