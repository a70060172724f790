"""What a stack's servers shipped to CloudWatch Logs, read back in order of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from operations.aws import Aws
from operations.errors import OperationError
from topology.names import Log, log_group

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SINCE = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhd])", re.ASCII)


@dataclass(frozen=True)
class LogLine:
    """One event of a log group."""

    at: datetime
    server: str
    message: str

    @property
    def text(self) -> str:
        """For people, one line or more."""
        return f"{self.at.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z {self.server} {self.message}"


def parse_since(text: str) -> timedelta:
    """`90s`, `10m`, `2h` or `7d`. Raises ValueError for anything else."""
    found = _SINCE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not a time: write a number and s, m, h or d, such as 10m")
    return timedelta(seconds=int(found["count"]) * _UNITS[found["unit"]])


def read_logs(aws: Aws, stack: str, log: Log, since: timedelta, server: str | None = None) -> list[LogLine]:
    """The events of the last `since`, of all servers or one, in order of time. Raises OperationError."""
    group = log_group(stack, log)
    # FilterLogEvents has one word for a group that is not there and for a stream.
    groups = aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=group)
    if group not in {found["logGroupName"] for found in groups}:
        problem = f"there is no log group {group} in {aws.region}"
        raise OperationError(f"{problem}: is there a stack '{stack}', with a server that has this log?")
    found = aws.pages("logs", "describe_log_streams", "logStreams", logGroupName=group)
    streams = sorted(stream["logStreamName"] for stream in found)
    if server is not None and server not in streams:
        shipping = ", ".join(streams) or "no server yet"
        raise OperationError(f"{server} has shipped nothing to {group}; there is: {shipping}")
    begin = int((datetime.now(UTC) - since).timestamp() * 1000)
    chosen = {"logStreamNames": [server]} if server else {}
    events = aws.pages("logs", "filter_log_events", "events", logGroupName=group, startTime=begin, **chosen)
    lines = [
        LogLine(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["logStreamName"], event["message"])
        for event in events
    ]
    return sorted(lines, key=lambda line: line.at)
