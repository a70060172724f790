"""A stack's configuration as text, as the Pulumi engine hands it to the program."""

from __future__ import annotations

import json
from pathlib import Path

from rehearsal.shell import RehearsalError
from topology.problems import ConfigurationError
from topology.stackfile import StackFile, read_stack


def load(project: Path, stack: str) -> StackFile:
    """The project's defaults and Pulumi.<stack>.yaml. Raises RehearsalError with every fault of the files."""
    try:
        return read_stack(project, stack)
    except ConfigurationError as error:
        raise RehearsalError(str(error)) from error


def as_text(file: StackFile) -> dict[str, str]:
    """Every key, namespaced, as text (objects and arrays as JSON)."""
    return {key: _text(value) for key, value in file.config.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
