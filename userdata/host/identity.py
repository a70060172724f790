"""Who this server is: /etc/tripod/server.json, written by its user data and never by a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import EXIT_USAGE, StepError

PATH = "/etc/tripod/server.json"


@dataclass(frozen=True)
class Identity:
    """The four names from which a server finds everything else."""

    stack: str
    server: str
    bucket: str
    region: str

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read the file; StepError (usage) when it is missing or not what user data writes."""
        try:
            value: dict[str, Any] = json.loads(path.read_text())
            return cls(**{name: str(value[name]) for name in ("stack", "server", "bucket", "region")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{path} cannot be read ({error})"
            raise StepError("identity", problem, "it is written by the server's user data", EXIT_USAGE) from error

    @property
    def manifest_key(self) -> str:
        """Object key of this server's manifest (the same as topology.names.manifest_key)."""
        return f"servers/{self.server}/manifest.json"

    def file_key(self, path: str) -> str:
        """Object key of one file of the bundle (the same as topology.names.file_key)."""
        return f"servers/{self.server}/files/{path.lstrip('/')}"

    @property
    def state_parameter(self) -> str:
        """SSM parameter of this server's state (the same as topology.names.server_state_parameter)."""
        return f"/tripod/{self.stack}/servers/{self.server}/state"
