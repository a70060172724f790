"""Remove everything that a stack's rehearsal left on this machine, whether its owner ended well or was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal import namespace
from rehearsal.cgroup import Cgroup, hierarchy
from rehearsal.paths import STATE_ROOT, StackPaths
from rehearsal.shell import RehearsalError, run
from rehearsal.volume import attached_below


@dataclass
class Removed:
    """What cleanup() found and removed: names of control groups, namespaces, mount points, loop devices."""

    cgroups: list[str] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    loop_devices: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.cgroups, self.processes, self.namespaces, self.mounts, self.loop_devices))


def cleanup(stack: str, *, keep_files: bool = False, state_root: Path = STATE_ROOT) -> Removed:
    """Remove a stack's processes, namespaces, mounts, loop devices, control groups and (unless told) its files.

    Idempotent. It touches only what the stack's state directory or the names `tripod-STACK-...` identify; a name
    that belongs to another stack of a longer name (`dev` and `dev-2`) is that stack's. End the stack's owner first.
    Raises RehearsalError when something cannot be removed.
    """
    paths = StackPaths(stack, state_root)
    removed = Removed()
    others = _other_stacks(paths)
    known = paths.claimed()
    for name in _ours(known, (entry.name for entry in hierarchy().iterdir() if entry.is_dir()), paths, others):
        cgroup = Cgroup(name)
        cgroup.kill()
        cgroup.remove()
        removed.cgroups.append(name)
    names = list(namespace.DIRECTORY.iterdir()) if namespace.DIRECTORY.is_dir() else []
    for name in _ours(known, (entry.name for entry in names), paths, others):
        removed.processes += _end_processes(name)
        namespace.delete(name)
        removed.namespaces.append(name)
    for point in _mounts_below(paths.directory):
        run(["umount", point])
        removed.mounts.append(point)
    for device in attached_below(paths.directory):
        run(["losetup", "--detach", str(device)])
        removed.loop_devices.append(str(device))
    _wait_detached(paths.directory)
    if not keep_files and paths.directory.exists():
        run(["rm", "-rf", "--one-file-system", "--", str(paths.directory)], timeout=300)
    return removed


def leftovers(stack: str, *, state_root: Path = STATE_ROOT) -> list[str]:
    """Everything of a stack that is on this machine now, one line a thing; empty when nothing is."""
    paths = StackPaths(stack, state_root)
    others, known = _other_stacks(paths), paths.claimed()
    groups = [entry.name for entry in hierarchy().iterdir() if entry.is_dir()]
    spaces = [entry.name for entry in namespace.DIRECTORY.iterdir()] if namespace.DIRECTORY.is_dir() else []
    return [
        *(f"control group {name}" for name in _ours(known, groups, paths, others)),
        *(f"namespace {name}" for name in _ours(known, spaces, paths, others)),
        *(f"mount {point}" for point in _mounts_below(paths.directory)),
        *(f"loop device {device}" for device in attached_below(paths.directory)),
    ]


def _other_stacks(paths: StackPaths) -> list[str]:
    """Stacks whose names begin with this one's and a hyphen: their objects share our prefix."""
    if not paths.root.is_dir():
        return []
    return [entry.name for entry in paths.root.iterdir() if entry.name.startswith(f"{paths.stack}-")]


def _ours(known: set[str], present: Iterable[str], paths: StackPaths, others: list[str]) -> list[str]:
    prefix = paths.object_name("")
    foreign = tuple(StackPaths(other, paths.root).object_name("") for other in others)
    return sorted(
        name for name in present if name in known or (name.startswith(prefix) and not name.startswith(foreign))
    )


def _end_processes(name: str, timeout: float = 10) -> list[int]:
    """Kill what still runs in a namespace of the stack (load generators, relays), never this process."""
    deadline = time.monotonic() + timeout
    ended: list[int] = []
    while True:
        pids = [int(pid) for pid in run(["ip", "netns", "pids", name], check=False).stdout.split()]
        pids = [pid for pid in pids if pid != os.getpid()]
        if not pids:
            return ended
        if time.monotonic() > deadline:
            raise RehearsalError(f"processes {pids} in namespace {name} outlived being killed by {timeout} s")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if pid not in ended:
                ended.append(pid)
        time.sleep(0.02)


def _mounts_below(directory: Path) -> list[str]:
    """Mount points of this process's mount namespace below the directory, innermost first."""
    points = [
        line.split()[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return sorted((point for point in points if point.startswith(f"{directory}/")), key=len, reverse=True)


def _wait_detached(directory: Path, timeout: float = 10) -> None:
    """A loop device whose last mount is just going away is detached a moment later."""
    deadline = time.monotonic() + timeout
    while devices := attached_below(directory):
        if time.monotonic() > deadline:
            raise RehearsalError(f"still in use after {timeout} s: {', '.join(str(device) for device in devices)}")
        time.sleep(0.02)
