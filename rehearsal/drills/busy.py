"""Busy processors: programs that do nothing but count, on every host of a stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.drills.stack import Stack

UNIT = "drill-busy-{}"
COUNT = "while :; do :; done"


@contextmanager
def busy(stack: Stack, seconds: float) -> Iterator[None]:
    """On every host as many such programs as the machine has processors, for the block or at most `seconds`."""
    servers = [server.name for server in stack.topology.servers]
    units = [UNIT.format(number) for number in range(os.cpu_count() or 1)]
    try:
        for server in servers:
            for unit in units:
                # It ends by itself, too: nobody may be left to stop it.
                limit = f"--property=RuntimeMaxSec={seconds:g}"
                stack.exec(
                    server, "systemd-run", "--quiet", "--collect", f"--unit={unit}", limit, "/bin/sh", "-c", COUNT
                )
        yield
    finally:
        for server in servers:
            stack.exec(server, "systemctl", "stop", *units, check=False, timeout=60)
