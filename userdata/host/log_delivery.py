"""Give batches of events to CloudWatch Logs, again and again until it has accepted them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .log_batch import Event, batches

# Seconds between tries: doubled each time, with some chance so that servers do not try in step.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

STREAM_MISSING = "ResourceNotFoundException"
STREAM_EXISTS = "ResourceAlreadyExistsException"
ALREADY_ACCEPTED = "DataAlreadyAcceptedException"
# The events themselves are refused: no later try can end better.
REFUSED = ("InvalidParameterException", "SerializationException", "ValidationException")


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


@dataclass
class Delivery:
    """Delivers to the stream named `stream` of each event's group.

    `connect` makes a boto3 client, or raises when it cannot yet. `wait` sleeps so many seconds, `say` tells people,
    `stalled` is a file that is there while events cannot be delivered; its time is when that began.
    """

    connect: Callable[[], Any]
    stream: str
    wait: Callable[[float], None]
    say: Callable[[str], None]
    stalled: Path | None = None
    _logs: Any = None
    _streams: set[str] = field(default_factory=set)
    _since: float | None = None

    def deliver(self, events: Iterable[Event]) -> None:
        """Returns when every event was accepted, or refused for good and said so; until then it tries."""
        for batch in batches(events):
            self._batch(batch)

    def _batch(self, batch: list[Event]) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                self._put(batch)
            except (ClientError, BotoCoreError) as error:
                if _code(error) in REFUSED:
                    self._split(batch, error)
                    return
                if _code(error) == STREAM_MISSING:
                    self._streams.discard(batch[0].group)
                self._stall(error)
                self.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  to spread, not to hide
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._resume()
                return

    def _put(self, batch: list[Event]) -> None:
        group = batch[0].group
        self._logs = self._logs or self.connect()
        if group not in self._streams:
            try:
                self._logs.create_log_stream(logGroupName=group, logStreamName=self.stream)
            except ClientError as error:
                if _code(error) != STREAM_EXISTS:
                    raise
            self._streams.add(group)
        events = [{"timestamp": event.time, "message": event.message} for event in batch]
        try:
            answer = self._logs.put_log_events(logGroupName=group, logStreamName=self.stream, logEvents=events)
        except ClientError as error:
            if _code(error) != ALREADY_ACCEPTED:
                raise
            return
        # Accepted, but for events older than 14 days or than the group keeps them, or of the future.
        rejected = answer.get("rejectedLogEventsInfo")
        if rejected:
            self.say(f"{group} does not take events of that age: {rejected}")

    def _split(self, batch: list[Event], error: Exception) -> None:
        if len(batch) == 1:
            self.say(f"{batch[0].group} refuses an event of {batch[0].size} bytes, which is dropped: {error}")
            return
        middle = len(batch) // 2
        self._batch(batch[:middle])
        self._batch(batch[middle:])

    def _stall(self, error: Exception) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self.say(f"cannot deliver; events wait on this server: {error}")
            if self.stalled:
                self.stalled.touch()

    def _resume(self) -> None:
        if self._since is not None:
            self.say(f"delivers again after {time.monotonic() - self._since:.0f} s")
            self._since = None
        if self.stalled:
            self.stalled.unlink(missing_ok=True)
