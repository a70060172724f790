"""Pulumi.yaml and Pulumi.<stack>.yaml read as data, for those who need a stack's settings without the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from topology.names import PROJECT
from topology.problems import ConfigurationError, Problem

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class StackFile:
    """What a stack's file says: the keys of the `tripod:` namespace, and the region."""

    stack: str
    region: str
    settings: dict[str, object]


def project_defaults(root: Path) -> dict[str, object]:
    """Defaults that Pulumi.yaml declares for the `tripod:` keys: the engine applies them, mocks do not."""
    config = _read(root / "Pulumi.yaml").get("config", {})
    return {
        key.removeprefix(f"{PROJECT}:"): declared["default"]
        for key, declared in config.items()
        if isinstance(declared, dict) and "default" in declared
    }


def read_stack(root: Path, stack: str) -> StackFile:
    """Read Pulumi.<stack>.yaml, with the project's defaults filled in.

    Raises ConfigurationError when the file is missing or is not what Pulumi would accept.
    """
    path = root / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        stacks = ", ".join(sorted(p.name.split(".")[1] for p in root.glob("Pulumi.*.yaml"))) or "none"
        found = f"there is no file {path.name} in this directory"
        raise ConfigurationError([Problem("(stack)", found, f"Stacks that have one: {stacks}")], stack)
    config = _read(path).get("config") or {}
    if not isinstance(config, dict):
        raise ConfigurationError([Problem("(file)", f"'config' of {path.name} is not an object", "Indent it")], stack)
    own = {key.split(":", 1)[1]: value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
    region = str(config.get("aws:region") or _project_region(root))
    return StackFile(stack=stack, region=region, settings=project_defaults(root) | own)


def _project_region(root: Path) -> str:
    declared = _read(root / "Pulumi.yaml").get("config", {}).get("aws:region", {})
    return str(declared.get("value", DEFAULT_REGION)) if isinstance(declared, dict) else str(declared)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([Problem("(file)", f"cannot read {path.name}", error.strerror or "")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        found = f"{path.name}{where} is not valid YAML"
        raise ConfigurationError([Problem("(file)", found, "Mend its indentation and quotes")]) from None
    if not isinstance(content, dict):
        raise ConfigurationError([Problem("(file)", f"{path.name} is empty", "Write at least 'config: {}'")])
    return content
