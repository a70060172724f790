"""What tripod-group says of itself to other programs of its server, and finds again when it was started anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

STATE = Path("/run/tripod-group/state.json")
"""Goes with a boot, as mysqld's membership does."""


def read_state(path: Path = STATE) -> dict[str, object]:
    """What the daemon last did: {"action", "reason", "at", "fenced", "intended"}; empty when it never ran."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}


def intended(state: Mapping[str, object]) -> str:
    """`DatabaseState.intended` as such a state has it, empty when the daemon never ran."""
    return str(state.get("intended", ""))
