"""Waiting: a predicate, polled until it holds or the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Deadline:
    """A moment `seconds` from its making. `clock` and `sleep` are monotonic seconds; tests replace them."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.remaining <= 0

    def within(self, seconds: float) -> Deadline:
        """A deadline of `seconds` from now that does not outlast this one."""
        return Deadline(min(seconds, self.remaining), self.clock, self.sleep)

    def anew(self) -> Deadline:
        """A deadline of the same length that begins now."""
        return Deadline(self.seconds, self.clock, self.sleep)

    def poll(self, probe: Callable[[], T | None], interval: float) -> T | None:
        """The first result of `probe` that is not None; None when the time is up. It is tried at least once."""
        while True:
            found = probe()
            if found is not None or self.passed:
                return found
            self.sleep(min(interval, self.remaining))
