"""Several drills in a row: which ones, their progress on the terminal, their table, their report."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rehearsal.daemon import Daemon
from rehearsal.drills import page, table
from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Drill, Result
from rehearsal.drills.exercise import control_holds, exercise
from rehearsal.drills.outcome import Outcome, summaries
from rehearsal.drills.safety import SAFETY
from rehearsal.drills.stack import Stack
from rehearsal.shell import RehearsalError
from rehearsal.up import read_topology

LOG_WIDTH = 150
"""Columns of a table that no terminal shows."""


@dataclass(frozen=True)
class Plan:
    """What to run, how often, without which safety feature (empty: none), and where the report goes."""

    drills: tuple[Drill, ...]
    repeat: int
    safety: str
    directory: Path
    started: datetime.datetime


def choose(names: Sequence[str], *, every: bool, safety: str | None) -> tuple[Drill, ...]:
    """The drills that a command line asks for. Raises RehearsalError with everything that is wrong with it."""
    wrong = []
    if bool(names) == every:
        wrong.append("name one or more drills, or give --all (not both); --list shows them")
    unknown = [name for name in names if name not in DRILLS]
    if unknown:
        wrong.append(f"there is no drill {', '.join(unknown)}; drills: {', '.join(DRILLS)}")
    chosen = tuple(DRILLS.values()) if every else tuple(DRILLS[name] for name in names if name in DRILLS)
    if safety is not None and safety not in SAFETY:
        wrong.append(f"there is no safety feature {safety}; features: {', '.join(SAFETY)}")
    elif safety is not None:
        chosen = tuple(drill for drill in chosen if safety in drill.controls) if every else chosen
        wrong += [
            f"{drill.name} is not judged without {safety}; its features: {', '.join(drill.controls) or 'none'}"
            for drill in chosen
            if safety not in drill.controls
        ]
    if wrong:
        raise RehearsalError("\n".join(wrong))
    return chosen


def run(daemon: Daemon, project: Path, plan: Plan, out: Console) -> bool:
    """Run a plan, print its table and write its report; whether nothing came out as it must not.

    An interrupted run reports what it has. Raises RehearsalError when the stack does not run, or is not as its files,
    and when something is in the report's directory already: records of two runs would mix.
    """
    if plan.directory.is_dir() and any(plan.directory.iterdir()):
        raise RehearsalError(f"{plan.directory} is not empty: give --report a directory that is, or that is not there")
    daemon.ask("ping")
    stack = Stack(read_topology(project, daemon.stack))
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        for drill in plan.drills:
            out.print(f"[bold]{drill.name}[/]  {drill.what}", highlight=False, soft_wrap=True)
            for outcome in exercise(stack, drill, plan.directory, repeat=plan.repeat, safety=plan.safety):
                outcomes.append(outcome)
                out.print(f"  {table.line(outcome)}", highlight=False, soft_wrap=True)
    finally:
        if outcomes:
            found = summaries(outcomes)
            (out if out.is_terminal else Console(file=out.file, width=LOG_WIDTH)).print(table.of(found), "")
            where = page.write(plan.directory, stack.topology, found, plan.started)
            out.print(f"Report: {where}", highlight=False, soft_wrap=True)
    if plan.safety:
        return _controls(outcomes, out)
    return all(outcome.result is not Result.FAILED for outcome in outcomes)


def _interrupt(*_: object) -> None:
    # Also where Ctrl-C was ignored when this began (a job in the background of a script): what is broken gets healed.
    raise KeyboardInterrupt


def _controls(outcomes: Sequence[Outcome], out: Console) -> bool:
    """A run without its safety feature is right only when the judge failed it, and for the right reason."""
    fine = True
    for outcome in outcomes:
        if outcome.result is Result.NOT_POSSIBLE:
            continue
        if control_holds(outcome):
            out.print(f"{outcome.drill} without {outcome.without}: failed, as it must.", highlight=False)
        else:
            fine = False
            expected = SAFETY[outcome.without].fault
            out.print(
                f"[red]error:[/] {outcome.drill} without {outcome.without} must fail with '{expected}', "
                f"but: {outcome.result}. {outcome.reason}",
                highlight=False,
            )
    return fine


def show_catalogue(out: Console) -> None:
    """Print all drills and all safety features."""
    out.print(table.catalogue(DRILLS.values(), SAFETY))
