"""What arrived in the log groups of a rehearsal's emulated CloudWatch Logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import boto3

from rehearsal.drills.stack import Stack
from tests.rehearsal.stack import status
from topology.names import Log, log_group, parameter_prefix


@dataclass
class ShippedLogs:
    """Reads a stack's log groups and, to look for them there, its secrets."""

    stack: Stack

    @cached_property
    def _session(self) -> Callable[[str], Any]:
        found = status(self.stack)
        keys = {"aws_access_key_id": "rehearsal", "aws_secret_access_key": "rehearsal"}
        return partial(boto3.client, endpoint_url=found["endpoint"], region_name=found["region"], **keys)

    @cached_property
    def _logs(self) -> Any:
        return self._session("logs")

    def messages(self, log: Log, server: str) -> list[str]:
        """Everything that `server` shipped, in order of time."""
        group = log_group(self.stack.name, log)
        streams = self._logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=server)["logStreams"]
        if not streams:
            return []
        pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNames=[server])
        return [event["message"] for page in pages for event in page["events"]]

    def numbers(self, log: Log, server: str, mark: str) -> Counter[int]:
        """How often each line `MARK NUMBER` arrived."""
        found = (message.partition(" ") for message in self.messages(log, server) if message.startswith(f"{mark} "))
        return Counter(int(number) for _, _, number in found)

    def secrets(self) -> list[str]:
        """Every secret of the stack; of keys in PEM their longest line."""
        pages = (
            self._session("ssm")
            .get_paginator("get_parameters_by_path")
            .paginate(Path=parameter_prefix(self.stack.name), Recursive=True, WithDecryption=True)
        )
        values = [one["Value"] for page in pages for one in page["Parameters"] if one["Type"] == "SecureString"]
        return [max(value.splitlines(), key=len) for value in values]
