"""What a server says about itself: one SSM parameter that an operator reads when a server hangs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .identity import Identity
from .swap import STATE, write
from .system import System


def report(ssm: Any, identity: Identity, step: str, *, ok: bool, digest: str | None, error: str | None = None) -> None:
    """Write the state parameter. Steps, in order: bundle, volume, packages, apply, agent (if it fails), ready.

    A server that cannot write it goes on, with a warning: its work matters more than its report.
    """
    value = {"step": step, "ok": ok, "digest": digest, "error": error, "at": now()}
    try:
        ssm.put_parameter(Name=identity.state_parameter, Value=json.dumps(value), Type="String", Overwrite=True)
    except (ClientError, BotoCoreError) as failure:
        print(f"{identity.server}: the state parameter cannot be written ({failure})", file=sys.stderr)


def remember(system: System, *, digest: str | None, error: str | None) -> None:
    """Keep the result of an apply on the server, for `tripod status`."""
    directory = system.path(STATE)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = recall(system)
    value = {
        "digest": before["digest"] if error else digest,
        "applied_at": before["applied_at"] if error else now(),
        "error": error,
    }
    write(directory / "last.json", json.dumps(value), 0o600)


def recall(system: System) -> dict[str, Any]:
    """The last apply: {"digest", "applied_at", "error"}, all None before the first."""
    file = system.path(STATE) / "last.json"
    if not file.exists():
        return {"digest": None, "applied_at": None, "error": None}
    value: dict[str, Any] = json.loads(file.read_text())
    return value


def now() -> str:
    """The time in UTC, ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
