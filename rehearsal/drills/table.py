"""Outcomes of drills for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from rehearsal.drills.drill import Drill, Result
from rehearsal.drills.outcome import Outcome, Spread, Summary
from rehearsal.drills.safety import Safety

COLOURS = {
    Result.PASSED: "green",
    Result.FAILED: "red",
    Result.CANNOT_SURVIVE: "yellow",
    Result.NOT_POSSIBLE: "dim",
}


def line(outcome: Outcome) -> str:
    """One run in one line, with rich's markup."""
    colour = COLOURS[outcome.result]
    said = f"[{colour}]{outcome.result}[/]" + (f": {escape(outcome.reason)}" if outcome.reason else "")
    verdict = outcome.verdict
    if verdict is None:
        return said
    return (
        f"{said}; {verdict.write_gap:.2f} s without writes, {verdict.read_gap:.2f} s without reads, "
        f"{verdict.failed_reads + verdict.failed_writes} of {verdict.requests} requests failed, "
        f"{len(verdict.lost)} of {verdict.acknowledged} acknowledged writes lost"
    )


def of(summaries: Iterable[Summary]) -> Table:
    """One row a drill with its figures; of several runs the median, the slowest of twenty, and the worst of all."""
    summaries = tuple(summaries)
    repeated = any(len(one.runs) > 1 for one in summaries)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("drill", no_wrap=True)
    table.add_column("result")
    if repeated:
        table.add_column("runs", justify="right")
    for column in ("without\nwrites (s)", "without\nreads (s)", "failed\nreads", "failed\nwrites"):
        table.add_column(column + "\np50 / p95 / worst" * repeated, justify="right", no_wrap=True)
    table.add_column("lost\nwrites", justify="right")
    for one in summaries:
        reason = f": {escape(one.reason)}" if one.result in {Result.CANNOT_SURVIVE, Result.NOT_POSSIBLE} else ""
        table.add_row(
            one.drill,
            f"[{COLOURS[one.result]}]{one.result}[/]{reason}",
            *([str(len(one.runs))] if repeated else []),
            _spread(one.spread("write_gap"), 2),
            _spread(one.spread("read_gap"), 2),
            _spread(one.spread("failed_reads"), 0),
            _spread(one.spread("failed_writes"), 0),
            str(sum(len(run.verdict.lost) for run in one.measured if run.verdict)) if one.measured else "",
        )
    return table


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    values = (spread.p50, spread.p95, spread.worst)
    # One run, or several that were alike: once says it.
    return " / ".join(f"{value:.{digits}f}" for value in (values if len(set(values)) > 1 else values[:1]))


def catalogue(drills: Iterable[Drill], features: Mapping[str, Safety]) -> Group:
    """All drills with the features that they can run without, and what those features are."""
    first = Table("drill", "what happens", "--without", box=None, pad_edge=False, header_style="bold")
    for drill in drills:
        first.add_row(drill.name, drill.what, ", ".join(drill.controls))
    second = Table("feature", "what is switched off", "fault found", box=None, pad_edge=False, header_style="bold")
    for feature in features.values():
        second.add_row(feature.name, feature.what, feature.fault)
    return Group(first, "", second)
