"""EBS volumes of the rehearsal: a sparse file, and a loop device while it is attached to a host."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.shell import RehearsalError, run

BY_ID = "dev/disk/by-id"
_ID = re.compile(r"vol-[0-9a-f]{8,17}")
_EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/fs/ext4/ext4.h
_NO_LOG_FLUSH = 2


@dataclass
class Volume:
    """One volume: its identifier as AWS gives it (`vol-0123abc...`) and the file that holds its blocks."""

    id: str
    file: Path
    size_gib: int
    device: Path | None = field(default=None)
    """The loop device while attached."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"volume id {self.id!r}: vol- and 8 to 17 hexadecimal digits")

    @property
    def links(self) -> tuple[str, ...]:
        """Names below /dev/disk/by-id, as udev makes them on a Nitro instance: with and without the NVMe namespace."""
        name = f"nvme-Amazon_Elastic_Block_Store_{self.id.replace('-', '')}"
        return (name, f"{name}_1")

    def create(self) -> None:
        """Make the file, blank, and only when there is none: a volume that is there keeps its data."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.ftruncate(descriptor, self.size_gib << 30)
            finally:
                os.close(descriptor)

    def grow(self, size_gib: int) -> None:
        """Make the volume larger; the file system on it is the host's to grow. Raises ValueError for a smaller size."""
        if size_gib < self.size_gib:
            raise ValueError(f"{self.id} has {self.size_gib} GiB; EBS volumes do not shrink")
        self.size_gib = size_gib
        os.truncate(self.file, size_gib << 30)
        if self._opened():
            run(["losetup", "--set-capacity", str(self.device)])

    def open(self) -> Path:
        """Give the volume a loop device and return it."""
        self.create()
        if not self._opened():
            command = ["losetup", "--find", "--show"]
            done = run([*command, "--direct-io=on", str(self.file)], check=False)
            if not done.ok:  # a file system without direct I/O (tmpfs)
                done = run([*command, str(self.file)])
            self.device = Path(done.stdout.strip())
        if self.device is None:
            raise RehearsalError(f"no loop device for {self.id}")
        return self.device

    def close(self, timeout: float = 10) -> None:
        """Give the loop device back, once nothing uses it. Raises RehearsalError when it is still in use then."""
        if self._opened():
            self.wait_unused(timeout)
            run(["losetup", "--detach", str(self.device)])
        self.device = None

    def _opened(self) -> bool:
        """Whether the loop device still is this volume's: cleanup() may have given it back, and others reuse it."""
        if self.device is None:
            return False
        backing = Path("/sys/block", self.device.name, "loop/backing_file")
        return backing.exists() and backing.read_text().strip() == str(self.file)

    def wait_unused(self, timeout: float = 10) -> None:
        """Wait until no file system is mounted from the device: a killed host's mounts end a moment after it."""
        if self.device is None or not self._opened():
            return
        deadline = time.monotonic() + timeout
        while True:
            try:
                os.close(os.open(self.device, os.O_RDWR | os.O_EXCL))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if time.monotonic() > deadline:
                    raise RehearsalError(f"{self.id} is still mounted: unmount it in its host first") from error
                time.sleep(0.01)
            else:
                return

    def delete(self) -> None:
        """Close the volume and remove its file."""
        self.close()
        self.file.unlink(missing_ok=True)


def power_cut(leader: int, devices: set[Path]) -> None:
    """Stop every ext4 file system that a host has mounted from `devices` without writing anything more.

    Killing a host's processes alone would let the kernel write the dirty pages at unmount, which no power cut does:
    a data loss that fsync should have prevented would never show.
    """
    numbers = {_number(device) for device in devices}
    root = Path(f"/proc/{leader}/root")
    try:
        mounts = Path(f"/proc/{leader}/mountinfo").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in mounts:
        fields = line.split()
        if fields[2] in numbers and line.partition(" - ")[2].startswith("ext4 "):
            numbers.discard(fields[2])  # once a file system, not once a mount
            point = fields[4].encode().decode("unicode_escape")
            with contextlib.suppress(FileNotFoundError):
                handle = os.open(root / point.lstrip("/"), os.O_RDONLY)
                try:
                    fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
                finally:
                    os.close(handle)


def _number(device: Path) -> str:
    number = device.stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def attached_below(directory: Path) -> list[Path]:
    """Loop devices of this machine whose file is (or was) below `directory`."""
    listing = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"]).stdout
    devices = json.loads(listing)["loopdevices"] if listing.strip() else []
    prefix = f"{directory}/"
    return [Path(device["name"]) for device in devices if str(device["back-file"]).startswith(prefix)]
