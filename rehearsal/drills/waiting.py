"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rehearsal.shell import RehearsalError

T = TypeVar("T")

PAUSE = 0.1


class NotInTimeError(RehearsalError):
    """What was waited for did not happen within its time; the message ends with what was seen last."""


def wait_until(
    what: str,
    predicate: Callable[[], T],
    *,
    timeout: float,
    pause: float = PAUSE,
    details: Callable[[], str] = str,
) -> T:
    """Call `predicate` until its answer is true, and return that answer.

    A RehearsalError of the predicate counts as "not yet". After `timeout` seconds NotInTimeError is raised with what
    the predicate said last and with `details()`, such as journals.
    """
    deadline = time.monotonic() + timeout
    seen: object = None
    while True:
        try:
            answer = predicate()
        except RehearsalError as error:
            seen = error
        else:
            if answer:
                return answer
            seen = answer
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {timeout:g} s: {what} (last seen: {seen!r})\n{details()}")
        time.sleep(pause)
