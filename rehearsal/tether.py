"""A stack that must not outlive the process it was started for (`up --pid`): how its end is seen, and what follows."""

from __future__ import annotations

import contextlib
import os
import select
import time

from rehearsal.cleanup import cleanup
from rehearsal.daemon import Daemon
from rehearsal.shell import RehearsalError

FORGET_TIMEOUT = 120.0


def wait_for_end(pid: int) -> None:
    """Return once a process, which need not be a child of this one, has ended (pidfd_open(2))."""
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])


def forget(stack: str) -> None:
    """Remove all of a stack whose supervisor has finished, as `down` does: nobody else will.

    An `up` that is under way is waited for, since it fails without its supervisor. Raises RehearsalError when something
    cannot be removed.
    """
    daemon = Daemon(stack)
    deadline = time.monotonic() + FORGET_TIMEOUT
    while daemon.paths.directory.exists():
        try:
            with daemon.exclusive():
                cleanup(stack)
        except RehearsalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
