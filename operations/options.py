"""Options that several commands of `python -m operations` take, and their checks, which ask nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _short(_: click.Context, __: click.Parameter, name: str) -> str:
    if "/" in name:
        raise click.BadParameter(f"give the stack's short name: '{name.rstrip('/').rsplit('/', 1)[-1]}'.")
    return name


def moment(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """`text` as it was given, if it is a time with its zone. Raises click.BadParameter."""
    try:
        clear = text is None or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a time. Write it as 2026-11-23T10:15:00Z.") from None
    if not clear:
        raise click.BadParameter(f"'{text}' has no time zone. Write it as 2026-11-23T10:15:00Z.")
    return text


stack = click.option(
    "--stack",
    required=True,
    metavar="NAME",
    callback=_short,
    help="The stack, as `pulumi stack` names it, without organization and project.",
)
region = click.option(
    "--region", metavar="NAME", help="AWS region. Default: the AWS environment's, or else that of Pulumi.NAME.yaml."
)


def timeout(seconds: float, what: str | None = None) -> Callable[[F], F]:
    """`--timeout`, with its default, and what it bounds."""
    return click.option(
        "--timeout", type=click.FloatRange(min=1), default=seconds, show_default=True, metavar="SECONDS", help=what
    )
