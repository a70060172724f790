"""A stack's configuration as the Pulumi engine would hand it to the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from rehearsal.shell import RehearsalError


def load(project: Path, stack: str) -> tuple[str, dict[str, str]]:
    """The project's name and every configuration key, namespaced, as text (objects and arrays as JSON).

    Defaults and fixed values of Pulumi.yaml come first, as the engine applies them; Pulumi.<stack>.yaml wins.
    """
    program = _read(project / "Pulumi.yaml")
    name = str(program["name"])
    path = project / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        stacks = sorted(file.name.split(".")[1] for file in project.glob("Pulumi.*.yaml"))
        raise RehearsalError(
            f"there is no {path.name} in {project}; stacks that have one: {', '.join(stacks) or 'none'}"
        )
    values: dict[str, Any] = {}
    for key, declared in (program.get("config") or {}).items():
        if not isinstance(declared, dict):
            values[_namespaced(name, key)] = declared
        elif "default" in declared or "value" in declared:
            values[_namespaced(name, key)] = declared.get("default", declared.get("value"))
    for key, value in (_read(path).get("config") or {}).items():
        if isinstance(value, dict) and set(value) == {"secure"}:
            raise RehearsalError(
                f"{key} in {path.name} is encrypted for Pulumi's own secrets provider, which the rehearsal cannot open"
            )
        values[_namespaced(name, key)] = value
    return name, {key: _text(value) for key, value in values.items() if value is not None}


def region(config: dict[str, str]) -> str:
    """The AWS region of a configuration."""
    return config.get("aws:region") or "us-east-1"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise RehearsalError(f"there is no {path.name} in {path.parent}") from None
    except yaml.YAMLError as error:
        raise RehearsalError(f"{path.name} is not valid YAML: {error}") from error
    return content if isinstance(content, dict) else {}


def _namespaced(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
