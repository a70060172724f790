"""The bundle: every configuration file, secret and unit of one server, and its manifest.

The manifest is the contract between the renderer (this package), the Pulumi component that
uploads the objects, the host programs that apply them and the operations that compare digests.
Its text is canonical JSON, so one topology always gives one byte sequence and one digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from topology import names

FORMAT = 1
"""Version of the manifest's format; a host program refuses a version that it does not know."""

Action = Literal["reload", "restart"]


class BundleError(ValueError):
    """The parts of a bundle contradict each other; the message names the path or unit."""


@dataclass(frozen=True)
class File:
    """One file of a server. `path` is absolute, `mode` octal text, `owner` "user:group".

    `shared` files are the same on every server that has them: programs, not configuration. They are uploaded once
    for the whole stack, under a key that holds their digest.
    """

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"
    shared: bool = False

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the content in UTF-8."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    def key(self, server: str) -> str:
        """The object's key in the stack's bucket."""
        if self.shared:
            return f"shared/{self.sha256[:16]}{self.path}"
        return names.file_key(server, self.path)


@dataclass(frozen=True)
class Secret:
    """A file whose content is the value of an SSM parameter, fetched by the server itself.

    Certificates travel this way too: their text is not known at preview. The value is written as
    it is, without a newline of our own.
    """

    path: str
    parameter: str
    mode: str = "0400"
    owner: str = "root:root"


@dataclass(frozen=True)
class Unit:
    """A systemd unit that must be enabled and active on the server.

    `files` are paths, or directories that end in "/"; a change below them reloads or restarts the
    unit (`action`). A changed unit file or drop-in always restarts. `check` is a command that
    judges the staged tree before anything is touched; "{root}" in its words is that tree.
    """

    name: str
    files: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    action: Action = "restart"


@dataclass(frozen=True)
class Part:
    """What one service folder adds to a server's bundle: the result of its `files()` function."""

    files: tuple[File, ...] = ()
    secrets: tuple[Secret, ...] = ()
    units: tuple[Unit, ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """All parts of one server, in the order in which its units are started."""

    stack: str
    server: str
    files: tuple[File, ...]
    secrets: tuple[Secret, ...]
    units: tuple[Unit, ...]
    packages: tuple[str, ...]
    absent_units: tuple[str, ...] = field(default=())
    """Units that a package may bring but that this server must not run: nothing listens that is
    not in the table of flows."""

    @classmethod
    def of(cls, stack: str, server: str, parts: Iterable[Part], owned_units: Iterable[str] = ()) -> Bundle:
        """Join parts. `owned_units` are all units the project may ever run; those that no part
        asks for are kept stopped. Raises BundleError when two parts claim one path or unit."""
        collected = tuple(parts)
        bundle = cls(
            stack=stack,
            server=server,
            files=tuple(sorted((f for p in collected for f in p.files), key=lambda f: f.path)),
            secrets=tuple(sorted((s for p in collected for s in p.secrets), key=lambda s: s.path)),
            units=tuple(u for p in collected for u in p.units),
            packages=tuple(sorted({name for p in collected for name in p.packages})),
            absent_units=tuple(sorted(set(owned_units) - {u.name for p in collected for u in p.units})),
        )
        bundle._check()
        return bundle

    @property
    def shared_files(self) -> tuple[File, ...]:
        """Those of `files` that other servers have too, byte for byte."""
        return tuple(file for file in self.files if file.shared)

    def _check(self) -> None:
        paths = [f.path for f in self.files] + [s.path for s in self.secrets]
        for what, claimed in (("path", paths), ("unit", [u.name for u in self.units])):
            twice = sorted({name for name in claimed if claimed.count(name) > 1})
            if twice:
                raise BundleError(f"{self.server}: two parts claim the {what} {', '.join(twice)}")
        relative = [path for path in paths if not path.startswith("/") or "/../" in path or path.endswith("/")]
        if relative:
            raise BundleError(f"{self.server}: not an absolute file path: {', '.join(relative)}")

    @property
    def body(self) -> dict[str, Any]:
        """The manifest without its digest."""
        return {
            "format": FORMAT,
            "stack": self.stack,
            "server": self.server,
            "files": {f.path: self._entry(f) for f in self.files},
            "secrets": {s.path: {"parameter": s.parameter, "mode": s.mode, "owner": s.owner} for s in self.secrets},
            "units": [
                {"name": u.name, "files": list(u.files), "check": list(u.check), "action": u.action} for u in self.units
            ],
            "absent_units": list(self.absent_units),
            "packages": list(self.packages),
        }

    def _entry(self, file: File) -> dict[str, str]:
        entry = {"sha256": file.sha256, "mode": file.mode, "owner": file.owner}
        return {**entry, "key": file.key(self.server)} if file.shared else entry

    @cached_property
    def digest(self) -> str:
        """ "sha256:<hex>" over the canonical JSON of everything but the digest itself."""
        return "sha256:" + hashlib.sha256(canonical(self.body).encode()).hexdigest()

    @property
    def manifest(self) -> str:
        """The manifest's text: canonical JSON and a newline."""
        return canonical({**self.body, "digest": self.digest}) + "\n"


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and plain ASCII: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
