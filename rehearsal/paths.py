"""Where the rehearsal keeps what on this machine, what it calls the objects of a stack, and how it is called."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/var/lib/tripod-rehearsal")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class StackPaths:
    """Files of one stack below the state directory (0700: it holds the disks and the emulated AWS's secrets)."""

    stack: str
    root: Path = STATE_ROOT

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.stack):
            raise ValueError(f"stack name {self.stack!r}: lower-case letters, digits and inner hyphens only")

    @property
    def directory(self) -> Path:
        """Everything of the stack."""
        return self.root / self.stack

    @property
    def names(self) -> Path:
        """One empty file for every namespace and cgroup of the stack, made before the object itself."""
        return self.directory / "names"

    def machine(self, name: str) -> Path:
        """Disk and console of one host."""
        return self.directory / "machines" / name

    def volume(self, volume_id: str) -> Path:
        """The sparse file behind an EBS volume."""
        return self.directory / "volumes" / f"{volume_id}.img"

    def object_name(self, name: str) -> str:
        """What the namespace and the cgroup of `name` (a server, `fabric` or `world`) are called."""
        return f"tripod-{self.stack}-{name}"

    def claim(self, name: str) -> str:
        """Write down that an object is about to exist, so that it is found after a crash; return its name."""
        claimed = self.object_name(name)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.names.mkdir(mode=0o700, exist_ok=True)
        (self.names / claimed).touch()
        return claimed

    def claimed(self) -> set[str]:
        """Every name that was claimed and not yet removed with the state directory."""
        return {file.name for file in self.names.iterdir()} if self.names.is_dir() else set()


def invocation() -> str:
    """How this program is called by someone who pastes it where the caller is: short beside the project's own .venv."""
    python, here = Path(sys.executable), Path.cwd()
    return f"{python.relative_to(here) if here in python.parents[2:3] else python} -m rehearsal"
