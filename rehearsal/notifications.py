"""The rehearsal's subscriber: every message that is published to an SNS topic of the stack, in a file."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "notifications.jsonl"
"""In the stack's state directory: one JSON object a line."""

PAUSE = 0.2


@dataclass(frozen=True)
class Notification:
    """One message. `wall` is seconds since the epoch, `monotonic` those of CLOCK_MONOTONIC, the same in all
    processes of this machine until it is started again: delays are taken from it."""

    topic: str
    subject: str
    message: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    wall: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def at(self) -> str:
        """`wall` in UTC, ISO 8601."""
        return datetime.fromtimestamp(self.wall, UTC).isoformat(timespec="milliseconds")

    @property
    def alarm(self) -> dict[str, Any] | None:
        """The message of a CloudWatch alarm, decoded; None for any other."""
        try:
            found = json.loads(self.message)
        except ValueError:
            return None
        return found if isinstance(found, dict) and "AlarmName" in found else None

    @property
    def document(self) -> dict[str, Any]:
        """For machines: the fields, the time as text and the alarm, if it is one's."""
        return {"at": self.at, **asdict(self), "alarm": self.alarm}


class Notifications:
    """The file of one stack. add() may be called from any thread of the supervisor; anybody may read."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self._lock = threading.Lock()

    def add(self, notification: Notification) -> None:
        """Write one down. Raises OSError when it cannot be written."""
        line = json.dumps(asdict(notification)) + "\n"
        with self._lock:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(line)

    def read(self) -> list[Notification]:
        """All so far, the oldest first."""
        return self._from(0)[0]

    def follow(self, ended: Callable[[], bool]) -> Iterator[Notification]:
        """All so far, then each that comes, until `ended()` is true."""
        offset = 0
        while True:
            last = ended()
            found, offset = self._from(offset)
            yield from found
            if last:
                return
            time.sleep(PAUSE)

    def _from(self, offset: int) -> tuple[list[Notification], int]:
        if not self.path.exists():
            return [], offset
        with self.path.open("rb") as file:
            file.seek(offset)
            text = file.read()
        # A line that is just being written is read the next time.
        whole = text[: text.rfind(b"\n") + 1]
        return [Notification(**json.loads(line)) for line in whole.splitlines()], offset + len(whole)
