"""Keeps requests that wait for the primary from taking the threads that reads need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import OverloadedError


class Bulkhead:
    """At most `places` requests inside; others wait `patience` seconds for a place.

    While the writer is known to fail nobody waits for a place: those inside try it already.
    """

    def __init__(self, places: int, patience: float) -> None:
        self._places = places
        self._patience = patience
        self._changed = threading.Condition()
        self._inside = 0
        self._failing = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block, or raise OverloadedError."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self._places or self._failing, self._patience)
            if self._inside >= self._places:
                raise OverloadedError("Too many requests are waiting to write; nothing was stored.")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def report(self, *, failing: bool) -> None:
        """Say whether the last attempt to use the writer failed."""
        with self._changed:
            if failing and not self._failing:
                self._changed.notify_all()
            self._failing = failing
