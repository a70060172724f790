"""`python -m rehearsal drill`: run drills on a running rehearsal and report."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rehearsal.daemon import ROOT, Daemon


def _show_catalogue(context: click.Context, _: click.Parameter, asked: bool) -> None:
    # Eager: what drills there are can be asked without a stack.
    if asked:
        from rehearsal.drills import suite  # noqa: PLC0415  (brings the topology)

        suite.show_catalogue(Console())
        context.exit()


def add_to(main: click.Group, stack_option: Callable[[Any], Any]) -> None:
    """Add the command to the group of commands."""

    @main.command()
    @stack_option
    @click.argument("names", metavar="[NAME]...", nargs=-1)
    @click.option("--all", "every", is_flag=True, help="Run every drill.")
    @click.option(
        "--list",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_catalogue,
        help="List the drills and their negative controls; needs no --stack.",
    )
    @click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run each so often.")
    @click.option("--without", "safety", metavar="FEATURE", help="Run without a safety feature: it must fail.")
    @click.option(
        "--report",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where report.json and index.html go.  [default: reports/STACK-DATE]",
    )
    @click.option(
        "--project",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=ROOT,
        help="Directory of the Pulumi program.",
    )
    def drill(
        daemon: Daemon,
        names: tuple[str, ...],
        every: bool,
        repeat: int,
        safety: str | None,
        directory: Path | None,
        project: Path,
    ) -> None:
        """Break a running stack on purpose, watch it, and judge it. Exit code 1 when a drill failed."""
        from rehearsal.drills import suite  # noqa: PLC0415  (brings the topology)

        chosen = suite.choose(names, every=every, safety=safety)
        when = datetime.datetime.now().astimezone()
        place = directory or Path("reports") / f"{daemon.stack}-{when:%Y-%m-%d-%H%M%S}"
        plan = suite.Plan(chosen, repeat, safety or "", place.resolve(), when)
        sys.exit(0 if suite.run(daemon, project.resolve(), plan, Console()) else 1)
