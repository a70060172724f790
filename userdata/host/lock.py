"""The server's only apply lock: two applies at once would undo each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import EXIT_LOCKED, StepError
from .swap import STATE
from .system import System

LOCK_FD = "TRIPOD_APPLY_LOCK_FD"
"""Environment variable by which the lock is handed over to the staged host programs."""

# `tripod status` looks at the lock for a moment; an apply must not fail because of that.
PATIENCE_SECONDS = 1.0


@contextmanager
def locked(system: System) -> Iterator[int]:
    """Hold the lock; the file descriptor that holds it. StepError when another apply has it.

    The lock belongs to the open file, so it survives the hand-over to the staged programs (`LOCK_FD`).
    """
    inherited = os.environ.pop(LOCK_FD, "")
    if inherited:
        descriptor = int(inherited)
    else:
        directory = system.path(STATE)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not system.wait(lambda: _take(descriptor, fcntl.LOCK_EX), seconds=PATIENCE_SECONDS, interval=0.05):
            raise StepError("lock", "another apply is running", "wait for its end", EXIT_LOCKED)
        yield descriptor
    finally:
        os.close(descriptor)


def busy(system: System) -> bool:
    """Whether an apply holds the lock now."""
    lock = system.path(STATE) / "lock"
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        return not _take(file.fileno(), fcntl.LOCK_SH)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
