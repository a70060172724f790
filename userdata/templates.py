"""Rendering of the service folders' templates: strict, so that a forgotten value is an error and not an empty word."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined


@cache
def _compiled() -> FileSystemBytecodeCache | None:
    """Where compiled templates stay between two runs, as Python's own bytecode does: a private directory of this user.

    Compiling all of them takes about a tenth of a second. None where no such directory can be.
    """
    try:
        return FileSystemBytecodeCache()
    except (OSError, RuntimeError):
        return None


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder / "templates"),
        bytecode_cache=_compiled(),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )


def render(folder: Path, template: str, **values: Any) -> str:
    """The text of `folder`/templates/`template`. Raises jinja2.UndefinedError for a name without a value."""
    return _environment(folder).get_template(template).render(**values)
