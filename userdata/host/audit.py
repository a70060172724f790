"""The audit of applies: one line in the journal for each that changed something or failed. It is shipped from there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from .system import System

IDENTIFIER = "tripod-apply"
"""As userdata/logs looks for it in the journal."""

Asker = Literal["boot", "command"]
"""What asked for an apply: the first boot, or `tripod apply`, which an operation runs."""

# Characters of an error, which holds words of other programs: enough to see what it was.
LONGEST = 2000


def write(
    system: System,
    server: str,
    *,
    by: Asker,
    before: str | None,
    digest: str | None,
    paths: Sequence[str] = (),
    actions: Sequence[str] = (),
    error: str | None = None,
) -> None:
    """One line of JSON. `before` and `digest` are of the bundle that ran and of the one that runs now.

    It names files and never says what is in them: some hold secrets.
    """
    value = {
        "server": server,
        "by": by,
        "ok": error is None,
        "before": before,
        "digest": digest,
        "paths": list(paths),
        "actions": list(actions),
        "error": error[:LONGEST] if error else None,
    }
    system.journal(IDENTIFIER, json.dumps(value))
