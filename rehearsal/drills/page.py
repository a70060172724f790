"""The report of drills: report.json, and index.html, which needs nothing else and nobody's network."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rehearsal.drills.outcome import FIGURES, Outcome, Summary
from rehearsal.drills.plot import STYLE, plot
from topology.model import Topology

HERE = Path(__file__).parent


def write(directory: Path, topology: Topology, summaries: Sequence[Summary], started: datetime.datetime) -> Path:
    """Write both files below `directory`, which is made if need be, and return the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "stack": topology.stack,
        "edge": str(topology.edge),
        "started": started.isoformat(timespec="seconds"),
        "drills": [summary.document for summary in summaries],
    }
    (directory / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    where = directory / "index.html"
    where.write_text(render(topology, summaries, started), encoding="utf-8")
    return where


def render(topology: Topology, summaries: Sequence[Summary], started: datetime.datetime) -> str:
    """The text of the page."""
    # Autoescape: reasons hold whatever a program said.
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    measured = [run for summary in summaries for run in summary.measured]
    return environment.get_template("page.html.j2").render(
        topology=topology,
        summaries=summaries,
        started=started,
        figures=FIGURES,
        results=Counter(str(summary.result) for summary in summaries),
        totals=totals(measured),
        plots={summary.drill: plot(worst(summary)) for summary in summaries if summary.measured},
        worst={summary.drill: worst(summary) for summary in summaries if summary.measured},
        style=STYLE,
    )


def worst(summary: Summary) -> Outcome:
    """The run to look at: of those with the summary's result the one with the longest time without writes."""

    def gap(run: Outcome) -> tuple[bool, float]:
        return (run.result is summary.result, run.verdict.write_gap if run.verdict else 0.0)

    return max(summary.measured, key=gap)


def totals(runs: Sequence[Outcome]) -> dict[str, int]:
    """What must be none over all runs, and how much was looked at."""
    verdicts = [run.verdict for run in runs if run.verdict]
    return {
        "acknowledged": sum(verdict.acknowledged for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "two_writers": sum(verdict.two_writers + verdict.astray for verdict in verdicts),
        "requests": sum(verdict.requests for verdict in verdicts),
    }
