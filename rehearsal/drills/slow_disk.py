"""A slow disk: the kernel throttles the loop device behind a server's data volume (blkio.throttle, Block I/O
Controller)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.drills.stack import Stack
from rehearsal.shell import RehearsalError

# At the root of the controller: it then holds for every process, the kernel's own writers included, and for this one
# device only. Control groups of version 2 have no limit at their root.
THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device")
DATA = ("/var/lib/mysql", "/var/lib/tripod")


def cannot(stack: Stack) -> str:
    """Why this machine cannot slow a disk down, or nothing."""
    del stack
    return "" if THROTTLE.exists() else "this machine's kernel has no blkio.throttle at the root of a control group"


@contextmanager
def slow_disk(stack: Stack, server: str, writes: int) -> Iterator[None]:
    """Let the data volume of a server write `writes` times a second at most, for the block."""
    device = _device(stack, server)
    THROTTLE.write_text(f"{device} {writes}")
    try:
        yield
    finally:
        THROTTLE.write_text(f"{device} 0")


def _device(stack: Stack, server: str) -> str:
    """Major and minor number (`7:3`) of the loop device that holds MySQL's data."""
    mounts = Path(f"/proc/{stack.leader(server)}/mountinfo").read_text().splitlines()
    found = {fields[4]: fields[2] for fields in map(str.split, mounts)}
    for point in DATA:
        if found.get(point, "").startswith("7:"):
            return found[point]
    raise RehearsalError(f"{server} has no volume mounted at {DATA[0]}")
