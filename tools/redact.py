"""Take the secrets out of a stack's state, so that a preview needs no right to decrypt them.

Reads what `pulumi stack export` prints and writes a state for `pulumi stack import` into a scratch backend: every
encrypted value becomes the same plain word, old and new alike, so a preview shows the same changes as it would on
the real state. Only a change of a secret's own value stays unseen.

The scratch stack must be there: the copy says that its passphrase keeps the secrets, for an import without any
provider of secrets ends in a panic of Pulumi's (seen with 3.272).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

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


def scratch(exported: dict[str, Any], salt: str) -> dict[str, Any]:
    """An exported state without its secrets, as a stack that is encrypted with a passphrase of this salt holds it.

    Raises ValueError for what is no state.
    """
    state = redact(exported)
    deployment = state.get("deployment")
    if not isinstance(deployment, dict):
        raise ValueError("this is not the state of a stack: it has no deployment")  # noqa: TRY004 - what was given
    deployment["secrets_providers"] = {"type": "passphrase", "state": {"salt": salt}}
    # Unfinished operations of a run that was cut short may hold inputs; a preview does not need them.
    deployment.pop("pending_operations", None)
    return dict(state)


def main() -> None:
    """`python -m tools.redact Pulumi.STACK.yaml < EXPORTED > STATE`: the file is the scratch stack's."""
    salt = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")).get("encryptionsalt")
    if not salt:
        sys.exit(f"{sys.argv[1]} has no encryptionsalt: make the scratch stack first, with a passphrase")
    try:
        json.dump(scratch(json.load(sys.stdin), salt), sys.stdout)
    except ValueError as error:
        sys.exit(f"standard input cannot be used: {error}")


if __name__ == "__main__":
    main()
