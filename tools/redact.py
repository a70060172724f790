"""Take the secrets out of a stack's state, so that a preview needs no right to decrypt them.

Reads what `pulumi stack export` prints and writes a state for `pulumi stack import` into a scratch backend: every
encrypted value becomes the same plain word, old and new alike, so a preview shows the same changes as it would on
the real state. Only a change of a secret's own value stays unseen.
"""

from __future__ import annotations

import json
import sys
from typing import Any

# How Pulumi marks a value in its state (sdk/go/common/resource/sig: the key, and the kind "secret").
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"

WORD = json.dumps("redacted")


def redact(value: Any) -> Any:
    """`value` with every secret replaced, at any depth."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return {SIGNATURE: SECRET, "plaintext": WORD}
        return {key: redact(one) for key, one in value.items()}
    if isinstance(value, list):
        return [redact(one) for one in value]
    return value


def scratch(exported: dict[str, Any]) -> dict[str, Any]:
    """An exported state, without its secrets and without the provider that encrypted them."""
    state = redact(exported)
    state.get("deployment", {}).pop("secrets_providers", None)
    # Unfinished operations of a run that was cut short may hold inputs; a preview does not need them.
    state.get("deployment", {}).pop("pending_operations", None)
    return dict(state)


if __name__ == "__main__":
    json.dump(scratch(json.load(sys.stdin)), sys.stdout)
