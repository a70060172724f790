"""The table of configuration keys, made from what the Pulumi engine reads."""

from __future__ import annotations

import json
from typing import Any

from operations.tables import markdown_table
from topology.names import PROJECT


def configuration(declared: dict[str, Any]) -> str:
    """Every key that Pulumi.yaml declares, with its type, default and meaning, as Markdown.

    `declared` is the `config:` object of Pulumi.yaml; keys of other namespaces (`aws:region`) are left out.
    """
    rows = [
        (f"`{PROJECT}:{key}`", value["type"], _default(value.get("default")), " ".join(value["description"].split()))
        for key, value in declared.items()
        if isinstance(value, dict) and ":" not in key
    ]
    return markdown_table(("Key", "Type", "Default", "Meaning"), rows)


def _default(value: object) -> str:
    if value in ("", None, [], {}):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"
