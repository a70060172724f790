"""What the rehearsal remembers of a stack's resources between two runs of the program: Pulumi's state, small."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from rehearsal.shell import RehearsalError


@dataclass
class Entry:
    """One resource as it was last created or updated. `inputs` and `outputs` have camelCase keys."""

    urn: str
    type: str
    name: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    secrets: list[str] = field(default_factory=list)
    """Names of top-level outputs that hold a secret."""
    protect: bool = False
    retain: bool = False


class State:
    """The resources of one stack, in the order in which they were created.

    The file is a journal, one JSON line a change, so that an interrupted run forgets nothing that it made; it is
    written anew, short, at the end of a run. It holds secrets (as an unencrypted Pulumi state would) and is readable
    by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.outputs: dict[str, Any] = {}
        self.secret_outputs: list[str] = []
        self.complete = False
        """Whether the last run came to its end."""

    @classmethod
    def load(cls, path: Path) -> State:
        """The state in `path`; an empty one when there is no such file."""
        state = cls(path)
        if path.exists():
            for line in path.read_text().splitlines():
                state._replay(json.loads(line))
        return state

    def _replay(self, change: dict[str, Any]) -> None:
        match change:
            case {"put": entry}:
                self.entries[entry["urn"]] = Entry(**entry)
            case {"forget": urn}:
                self.entries.pop(urn, None)
            case {"outputs": outputs, "secret": secret}:
                self.outputs, self.secret_outputs = outputs, secret
        self.complete = "outputs" in change

    def put(self, entry: Entry) -> None:
        """Remember a resource; one that is new goes to the end."""
        self.entries[entry.urn] = entry
        self._append({"put": asdict(entry)})

    def forget(self, urn: str) -> None:
        """Forget a resource."""
        del self.entries[urn]
        self._append({"forget": urn})

    def finish(self, outputs: dict[str, Any], secret: list[str]) -> None:
        """Remember the stack's outputs and write the file anew."""
        self.outputs, self.secret_outputs, self.complete = outputs, secret, True
        partial = self.path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        changes: list[dict[str, Any]] = [{"put": asdict(entry)} for entry in self.entries.values()]
        with _open(partial) as file:
            for change in [*changes, {"outputs": outputs, "secret": secret}]:
                file.write(json.dumps(change) + "\n")
        partial.replace(self.path)

    def unprotect(self, names: Collection[str]) -> None:
        """Let resources of these names be deleted. Raises RehearsalError when a name is not that of a protected one."""
        protected = {entry.name: entry for entry in self.entries.values() if entry.protect}
        unknown = [name for name in names if name not in protected]
        if unknown:
            there = ", ".join(sorted(protected)) or "none"
            raise RehearsalError(f"no protected resource is called {', '.join(unknown)}; protected are: {there}")
        complete = self.complete
        for name in names:
            self.put(replace(protected[name], protect=False))
        if complete:
            self.finish(self.outputs, self.secret_outputs)

    def _append(self, change: dict[str, Any]) -> None:
        self.complete = False
        with _open(self.path) as file:
            file.write(json.dumps(change) + "\n")


def _open(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w")
