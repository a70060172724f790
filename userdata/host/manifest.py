"""The manifest of a bundle: what the server must have, each with its digest."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from .errors import EXIT_BUNDLE, StepError

FORMAT = 1

_MEND = "upload the bundle again with `pulumi up`, then apply"


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle: its digest (hex SHA-256), mode and owner ("user:group").

    `key` is its object's key where that is not the server's own (a file that servers share).
    """

    path: str
    sha256: str
    mode: int
    owner: str
    key: str | None = None


@dataclass(frozen=True)
class SecretEntry:
    """A file whose content is the value of an SSM parameter."""

    path: str
    parameter: str
    mode: int
    owner: str


@dataclass(frozen=True)
class UnitEntry:
    """A systemd unit that must run; see userdata.bundle.Unit."""

    name: str
    files: tuple[str, ...]
    check: tuple[str, ...]
    action: Literal["reload", "restart"]

    def concerns(self, path: str) -> bool:
        """Whether a change of `path` is a change of this unit."""
        return (
            path in self.own_files
            or any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in self.files)
            or path.startswith(f"/etc/systemd/system/{self.name}.d/")
        )

    @property
    def own_files(self) -> tuple[str, ...]:
        """Where the unit's own definition may be."""
        return (f"/etc/systemd/system/{self.name}",)


@dataclass(frozen=True)
class Manifest:
    """A parsed and verified manifest. `text` is what was parsed, to be kept as it is."""

    stack: str
    server: str
    digest: str
    files: dict[str, FileEntry]
    secrets: dict[str, SecretEntry]
    units: tuple[UnitEntry, ...]
    absent_units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    text: str = field(default="", repr=False, compare=False)

    @property
    def paths(self) -> frozenset[str]:
        """Every path that the bundle owns."""
        return frozenset(self.files) | frozenset(self.secrets)


def parse(text: str, *, stack: str, server: str, subject: str = "the manifest") -> Manifest:
    """The manifest of `server`. Raises StepError naming `subject` when it is damaged or another server's."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            problem = f"{subject} has format {value['format']!r}, this server knows {FORMAT}"
            raise StepError("bundle", problem, _MEND, EXIT_BUNDLE)
        manifest = _entries(value, text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{subject} is not a manifest ({error})"
        raise StepError("bundle", problem, _MEND, EXIT_BUNDLE) from error
    if digest(value) != manifest.digest:
        problem = f"{subject} does not match its own digest {manifest.digest}"
        raise StepError("bundle", problem, _MEND, EXIT_BUNDLE)
    if (manifest.stack, manifest.server) != (stack, server):
        problem = f"{subject} is of {manifest.stack}/{manifest.server}, not of {stack}/{server}"
        raise StepError("bundle", problem, _MEND, EXIT_BUNDLE)
    return manifest


def digest(value: dict[str, Any]) -> str:
    """Digest of a manifest's content, the same as userdata.bundle.Bundle.digest."""
    body = {key: item for key, item in value.items() if key != "digest"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _entries(value: dict[str, Any], text: str) -> Manifest:
    return Manifest(
        stack=str(value["stack"]),
        server=str(value["server"]),
        digest=str(value["digest"]),
        files={
            _path(path): FileEntry(
                path, str(entry["sha256"]), int(entry["mode"], 8), str(entry["owner"]), entry.get("key")
            )
            for path, entry in value["files"].items()
        },
        secrets={
            _path(path): SecretEntry(path, str(entry["parameter"]), int(entry["mode"], 8), str(entry["owner"]))
            for path, entry in value["secrets"].items()
        },
        units=tuple(_unit(entry) for entry in value["units"]),
        absent_units=tuple(str(name) for name in value.get("absent_units", [])),
        packages=tuple(str(name) for name in value.get("packages", [])),
        text=text,
    )


def _unit(entry: dict[str, Any]) -> UnitEntry:
    action = str(entry["action"])
    if action not in ("reload", "restart"):
        raise ValueError(f"{action!r} is not an action of unit {entry['name']}")
    return UnitEntry(
        name=str(entry["name"]),
        files=tuple(str(path) for path in entry["files"]),
        check=tuple(str(word) for word in entry["check"]),
        action=cast("Literal['reload', 'restart']", action),
    )


def _path(path: str) -> str:
    # A manifest is as powerful as root; still, a path that escapes is a fault and not an instruction.
    if not path.startswith("/") or re.search(r"(^|/)\.\.?(/|$)", path) or path.endswith("/"):
        raise ValueError(f"{path!r} is not an absolute file path")
    return path
