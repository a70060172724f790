"""What the rehearsal remembers of a stack's resources between two runs of the program: Pulumi's state, small."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


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

    The file holds secrets (as an unencrypted Pulumi state would), so it is readable by its owner only and
    written whole: a crash leaves the old file or the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.outputs: dict[str, Any] = {}
        self.secret_outputs: list[str] = []

    @classmethod
    def load(cls, path: Path) -> State:
        """The state in `path`; an empty one when there is no such file."""
        state = cls(path)
        if path.exists():
            document = json.loads(path.read_text())
            state.entries = {item["urn"]: Entry(**item) for item in document["resources"]}
            state.outputs = document["outputs"]
            state.secret_outputs = document["secret_outputs"]
        return state

    def save(self) -> None:
        """Write the file, atomically and with mode 0600."""
        document = {
            "resources": [asdict(entry) for entry in self.entries.values()],
            "outputs": self.outputs,
            "secret_outputs": self.secret_outputs,
        }
        partial = self.path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1, sort_keys=True)
        partial.replace(self.path)
