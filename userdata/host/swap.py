"""Put staged files in place, so that an interrupted or failed apply can be taken back.

Each file is replaced by one rename. Before the first one, what will be overwritten is copied to `previous/` with a
journal beside it; the journal is removed when the apply is complete. A journal that is found later belongs to an
apply that was cut off (power, kill): it is rolled back first.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from .manifest import FileEntry, Manifest, SecretEntry
from .system import System

STATE = "/var/lib/tripod-apply"
"""Root disk, mode 0700: it holds copies of secrets. Not the data volume: it describes this root disk."""


@dataclass(frozen=True)
class Plan:
    """What differs between the server and the staged bundle, as sorted absolute paths."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the swap would touch."""
        return tuple(sorted((*self.changed, *self.removed)))


def compare(manifest: Manifest, previous: Manifest | None, staging: Path, system: System) -> Plan:
    """The plan that brings the server to `manifest`. Content, mode and owner count."""
    entries: list[FileEntry | SecretEntry] = [*manifest.files.values(), *manifest.secrets.values()]
    changed = sorted(entry.path for entry in entries if _differs(entry, staging, system))
    gone = (previous.paths if previous else frozenset()) - manifest.paths
    return Plan(tuple(changed), tuple(sorted(path for path in gone if os.path.lexists(system.path(path)))))


def _differs(entry: FileEntry | SecretEntry, staging: Path, system: System) -> bool:
    live, staged = system.path(entry.path), staging / entry.path.lstrip("/")
    if live.is_symlink() or not live.is_file() or live.read_bytes() != staged.read_bytes():
        return True
    return stat.S_IMODE(live.stat().st_mode) != entry.mode or not _owned(live, entry.owner)


def _owned(path: Path, owner: str) -> bool:
    user, _, group = owner.partition(":")
    try:
        return (path.owner(), path.group()) == (user, group or user)
    except KeyError:  # A user or group that has been deleted: its number has no name.
        return False


class Swap:
    """One change of the server's files. `begin`, then `commit` or `roll_back`."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._state = system.path(STATE)
        self._journal = self._state / "journal.json"
        self._previous = self._state / "previous"

    @property
    def interrupted(self) -> bool:
        """Whether an earlier change was cut off before its end."""
        return self._journal.exists()

    def begin(self, plan: Plan, manifest: Manifest, staging: Path) -> None:
        """Keep what is there now, then put every staged file of `plan` in place and remove the rest."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._previous, ignore_errors=True)
        created = []
        for path in plan.paths:
            live = self.system.path(path)
            if not os.path.lexists(live):
                created.append(path)
                continue
            _copy(live, self._previous / path.lstrip("/"))
        write(self._journal, json.dumps({"paths": plan.paths, "created": created}), 0o600)
        entries: dict[str, FileEntry | SecretEntry] = {**manifest.files, **manifest.secrets}
        for path in plan.changed:
            self._put(staging / path.lstrip("/"), entries[path])
        for path in plan.removed:
            self.system.path(path).unlink()

    def commit(self, manifest: Manifest) -> None:
        """Remember `manifest` as applied. `previous/` stays until the next change, for people."""
        write(self._state / "manifest.json", manifest.text, 0o600)
        self._journal.unlink(missing_ok=True)

    def roll_back(self) -> tuple[str, ...]:
        """Put back everything the journal names; the paths."""
        journal = json.loads(self._journal.read_text())
        for path in journal["created"]:
            self.system.path(path).unlink(missing_ok=True)
        for path in journal["paths"]:
            _temporary(self.system.path(path)).unlink(missing_ok=True)
        for path in journal["paths"]:
            kept = self._previous / path.lstrip("/")
            if path not in journal["created"] and os.path.lexists(kept):
                live = self.system.path(path)
                live.parent.mkdir(parents=True, exist_ok=True)
                temporary = _temporary(live)
                _copy(kept, temporary)
                temporary.replace(live)
        self._journal.unlink()
        return tuple(journal["paths"])

    def _put(self, staged: Path, entry: FileEntry | SecretEntry) -> None:
        live = self.system.path(entry.path)
        live.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = _temporary(live)
        temporary.unlink(missing_ok=True)
        # Private from its first byte: a secret must not be readable between its creation and its chmod.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(staged.read_bytes())
            file.flush()
            self.system.chown(temporary, entry.owner)
            os.fchmod(file.fileno(), entry.mode)
            os.fsync(file.fileno())
        temporary.replace(live)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by one rename, on disk before it returns."""
    temporary = _temporary(path)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tripod")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    status = source.stat()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
        file.flush()
        os.fsync(file.fileno())


def applied(system: System) -> str | None:
    """Text of the manifest that was applied last, None before the first time."""
    file = system.path(STATE) / "manifest.json"
    return file.read_text() if file.exists() else None
