"""Log events as CloudWatch Logs takes them: cut to size, in order of time, in batches within the limits of one call.

The limits are those of PutLogEvents (CloudWatch Logs API reference).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

# Bytes of UTF-8, with OVERHEAD for each event.
BATCH_BYTES = 1_048_576
OVERHEAD = 26
BATCH_EVENTS = 10_000
# Milliseconds between the first and the last event of a batch: less than a day.
SPAN = 24 * 3600 * 1000

CUT = " [cut]"


class LineError(ValueError):
    """A line that is not what the template of rsyslog writes."""


@dataclass(frozen=True)
class Event:
    """One line of a log. `time` is in milliseconds since 1970, UTC; `group` the name of its log group."""

    group: str
    time: int
    message: str

    @classmethod
    def parse(cls, line: str) -> Event:
        """An event from `{"group": ..., "time": RFC 3339 with its zone, "message": ...}`. Raises LineError."""
        try:
            found = json.loads(line)
            time = datetime.fromisoformat(found["time"]).timestamp()
            return cls(str(found["group"]), round(time * 1000), cut(str(found["message"])))
        except (ValueError, KeyError, TypeError) as error:
            raise LineError(f"not a log event ({error}): {line[:200]}") from error

    @property
    def size(self) -> int:
        """Bytes that it takes of a batch."""
        return len(self.message.encode()) + OVERHEAD


def cut(message: str) -> str:
    """`message`, shortened to what one event may hold; never empty, which CloudWatch Logs refuses."""
    # What is no text (half a surrogate) cannot be sent as UTF-8.
    message = message.encode(errors="replace").decode()
    room = BATCH_BYTES - OVERHEAD
    if len(message.encode()) > room:
        message = message.encode()[: room - len(CUT)].decode(errors="ignore") + CUT
    return message or " "


def batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Every event once, in batches of one group each, ordered by time; events of one time keep their order."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(event.group, []).append(event)
    for group in groups.values():
        batch: list[Event] = []
        size = 0
        for event in sorted(group, key=lambda event: event.time):
            full = len(batch) == BATCH_EVENTS or size + event.size > BATCH_BYTES
            if batch and (full or event.time - batch[0].time >= SPAN):
                yield batch
                batch, size = [], 0
            batch.append(event)
            size += event.size
        yield batch
