"""Control groups (version 2): what holds every process of a host, so that a power cut misses none."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from rehearsal.shell import RehearsalError


def hierarchy() -> Path:
    """Where this machine has its version-2 hierarchy mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified if hybrid."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise RehearsalError(
        "this machine has no control groups version 2 mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    )


class Cgroup:
    """One control group of this machine, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = hierarchy() / name

    def create(self) -> None:
        """Make the group. No error when it is there."""
        self.path.mkdir(exist_ok=True)

    def groups(self) -> list[Path]:
        """The group and all below it, each after the one it is in. Groups may come and go while we look."""
        # os.walk passes over what vanished; Path.rglob would raise
        return [Path(directory) for directory, _, _ in os.walk(self.path)]

    @property
    def populated(self) -> bool:
        """Whether any process lives in the group or below it."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text().splitlines()
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ENODEV:  # removed between open and read
                return False
            raise

    def freeze(self) -> None:
        """Stop every process of the group where it is (cgroup.freeze). No error when the group is gone.

        It takes effect within milliseconds, also for what a process has in the making; killing ends it.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.path / "cgroup.freeze").write_text("1")

    def kill(self, timeout: float = 20) -> None:
        """Kill every process of the group at once (cgroup.kill) and wait until none is left.

        Raises RehearsalError when one is still there after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with contextlib.suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")
        while self.populated:
            if time.monotonic() > deadline:
                raise RehearsalError(f"processes of control group {self.name} outlived being killed by {timeout} s")
            time.sleep(0.005)

    def remove(self, timeout: float = 10) -> None:
        """Remove the group and those below it; all must be empty. No error when it is gone."""
        deadline = time.monotonic() + timeout
        while self.path.is_dir():
            try:
                for group in reversed(self.groups()):
                    group.rmdir()
            except FileNotFoundError:  # removed by itself (a unit of the host that just ended)
                continue
            except OSError as error:  # the last process is gone but its group's accounting is not, for a moment
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
