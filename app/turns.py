"""Who tries next, when many threads wait for one thing to work again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Turns:
    """The tries of all waiting threads, `spacing` seconds apart; when one of them succeeds, all go on at once.

    So an end is noticed within `spacing`, and many threads ask no oftener than one would.
    """

    def __init__(self, spacing: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._spacing = spacing
        self._clock = clock
        self._changed = threading.Condition()
        self._successes = 0
        self._last = float("-inf")

    def wait(self, at_most: float) -> None:
        """Return at this thread's turn, when another has succeeded, or after `at_most` seconds."""
        with self._changed:
            before, now = self._successes, self._clock()
            self._last = max(now, self._last) + self._spacing
            self._changed.wait_for(lambda: self._successes != before, min(at_most, self._last - now))

    def succeeded(self) -> None:
        """Let all who wait go on; whoever waits next has the first turn."""
        with self._changed:
            self._successes += 1
            self._last = float("-inf")
            self._changed.notify_all()
