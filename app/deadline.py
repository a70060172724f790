"""A point in time by which a request has to be answered."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """Counts down `seconds` on the monotonic clock."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock())

    def allows(self, seconds: float) -> bool:
        """Whether at least `seconds` are left."""
        return self.remaining() >= seconds
