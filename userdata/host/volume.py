"""The data volume: wait for it, format it only when it is blank, mount it and let it grow, at every boot.

This is a program and not /etc/fstab because the volume may arrive after the boot has begun (EC2 attaches it when the
instance runs), and because its name holds the volume's id, which user data must not: a server keeps its user data
when its volume is replaced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import EXIT_VOLUME, StepError
from .system import System

BY_ID = "/dev/disk/by-id"
# udev's name of an EBS volume on Nitro instances (EC2 user guide, "Name your NVMe volumes").
PATTERN = "nvme-Amazon_Elastic_Block_Store_vol*"
LABEL = "tripod-data"
MOUNT = "/var/lib/tripod"
# AppArmor and every habit know MySQL's data under this path, so it is bound there.
BINDS = (("/var/lib/tripod/mysql", "/var/lib/mysql"),)
OPTIONS = "noatime,nodev,nosuid"
LOCK = "/run/tripod-volume.lock"

# Pulumi attaches the volume when the instance runs; that takes seconds, rarely a minute.
WAIT_SECONDS = 300.0

# A blank EBS volume reads as zeros. Anything else that blkid does not know is somebody's data.
PROBE_BYTES = 1 << 20


@dataclass(frozen=True)
class Volume:
    """A candidate: its stable name and the device behind it."""

    name: str
    device: Path


def candidates(system: System) -> list[Volume]:
    """EBS volumes that are whole disks and not the root disk, one entry a device."""
    root = _root_disk(system)
    found: dict[Path, Volume] = {}
    for link in sorted(system.path(BY_ID).glob(PATTERN)):
        device = link.resolve()
        if "-part" not in link.name and device.name != root:
            found.setdefault(device, Volume(link.name, device))
    return list(found.values())


def mount(system: System, seconds: float = WAIT_SECONDS) -> str:
    """Mount the data volume and its binds; the volume's name. Does nothing when they are mounted already.

    Raises StepError when no volume comes, when there are several, or when it holds something else.
    """
    with _alone(system):
        return _mount(system, seconds)


@contextmanager
def _alone(system: System) -> Iterator[None]:
    # At a boot the boot program and tripod-volume.service come at the same time. A volume that is mounted twice has
    # its binds twice, too: a rename from one of its directories to another then crosses mounts, and is refused.
    lock = system.path(LOCK)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mount(system: System, seconds: float) -> str:
    source = _mounted(system, MOUNT)
    if source is None:
        volume = _await(system, seconds)
        if _file_system(system, volume) is None:
            _format(system, volume)
        _do(system, "mount", "-t", "ext4", "-o", OPTIONS, str(volume.device), _make(system, MOUNT))
        _grow(system, volume)
        source = volume.name
    for inner, outer in BINDS:
        if _mounted(system, outer) is None:
            _make(system, outer)
            _do(system, "mount", "--bind", _make(system, inner), str(system.path(outer)))
    return source


def own(system: System) -> None:
    """Give MySQL's directory to its user. A re-created server may have another number for the same name."""
    directory = system.path(MOUNT) / "mysql"
    # `id` and not the pwd module: the user may have been created by a package a second ago.
    user = system.run(["id", "--user", "mysql"])
    # By number: the old one need not have a name here.
    if user.ok and directory.stat().st_uid != int(user.last_line):
        _do(system, "chown", "-R", "mysql:mysql", str(directory))
        directory.chmod(0o700)


def _await(system: System, seconds: float) -> Volume:
    found: list[Volume] = []

    def there() -> bool:
        found[:] = candidates(system)
        return bool(found)

    if not system.wait(there, seconds=seconds, interval=0.5):
        problem = f"no data volume ({BY_ID}/{PATTERN}) came within {seconds:g} s"
        raise StepError("volume", problem, "attach the server's data volume (`pulumi up`)", EXIT_VOLUME)
    ours = [volume for volume in found if _label(system, volume) == LABEL] if len(found) > 1 else found
    if len(ours) != 1:
        problem = f"{len(found)} volumes could be the data volume: {', '.join(v.name for v in found)}"
        raise StepError("volume", problem, "detach those that are not this server's", EXIT_VOLUME)
    return ours[0]


def _probe(system: System, volume: Volume) -> dict[str, str]:
    result = system.run(["blkid", "--probe", "--output", "export", str(volume.device)])
    # blkid(8): 2 = nothing identified, or the device could not be read; the caller rules out the latter.
    if result.code not in (0, 2):
        problem = f"{volume.name} cannot be probed (blkid: {result.last_line})"
        raise StepError("volume", problem, "look at the volume from another host; it was not formatted", EXIT_VOLUME)
    return dict(line.split("=", 1) for line in result.output.splitlines() if "=" in line) if result.ok else {}


def _label(system: System, volume: Volume) -> str | None:
    return _probe(system, volume).get("LABEL")


def _file_system(system: System, volume: Volume) -> str | None:
    """The file system on the volume, None when it is blank."""
    try:
        with volume.device.open("rb") as file:
            start = file.read(PROBE_BYTES)
    except OSError as error:
        problem = f"{volume.name} cannot be read ({error})"
        raise StepError("volume", problem, "look at the volume; it was not formatted", EXIT_VOLUME) from error
    found = _probe(system, volume)
    if found.get("TYPE") == "ext4":
        return "ext4"
    if found or any(start):
        what = found.get("TYPE") or found.get("PTTYPE") or "data of an unknown kind"
        problem = f"{volume.name} holds {what}, not a file system of this stack"
        raise StepError("volume", problem, "attach a blank volume or the right one; it was not formatted", EXIT_VOLUME)
    return None


def _format(system: System, volume: Volume) -> None:
    _do(system, "mkfs.ext4", "-q", "-L", LABEL, "-m", "1", str(volume.device))


def _grow(system: System, volume: Volume) -> None:
    """For a volume that was made larger (`dataVolumeGib`) since it was formatted; ext4 grows while it is mounted."""
    result = system.run(["resize2fs", str(volume.device)], timeout=300)
    if not result.ok:
        # A database in a small file system serves; what is too small has alerts (DataVolumeNearlyFull).
        print(f"the file system on {volume.name} keeps its size (resize2fs: {result.last_line})")


def _mounted(system: System, path: str) -> str | None:
    where = str(system.path(path))
    result = system.run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", where])
    return result.last_line if result.ok else None


def _make(system: System, path: str) -> str:
    directory = system.path(path)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    return str(directory)


def _do(system: System, *command: str) -> None:
    result = system.run(command, timeout=300)
    if not result.ok:
        problem = f"{' '.join(command)} failed ({result.last_line})"
        raise StepError("volume", problem, "look at the volume and the kernel's log", EXIT_VOLUME)


def _root_disk(system: System) -> str | None:
    """Kernel name of the disk that holds the root file system, None where there is no such disk (a container)."""
    number = system.root.stat().st_dev
    entry = system.path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not entry.exists():
        return None
    block = entry.resolve()
    return block.parent.name if (block / "partition").exists() else block.name
