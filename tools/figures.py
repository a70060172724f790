"""Takes figures of drills from reports into operations/measured.json: `python -m tools.figures REPORT...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from operations.measured import FIGURES, FILE

DIGITS = 2


def row(document: dict[str, Any], drill: dict[str, Any]) -> dict[str, Any]:
    """The row of one drill of a report."""
    verdicts = [run["verdict"] for run in drill["runs"] if run["verdict"]]
    return {
        "drill": drill["drill"],
        "stack": document["stack"],
        "edge": document["edge"],
        "date": document["started"][:10],
        "runs": len(verdicts),
        "result": drill["result"],
        "acknowledged": sum(verdict["acknowledged"] for verdict in verdicts),
        "lost": sum(len(verdict["lost"]) for verdict in verdicts),
        **{
            figure: {name: round(value, DIGITS) for name, value in drill["figures"][figure].items()}
            for figure in FIGURES
        },
    }


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, the newest of each drill and stack, in the order in which they first came."""
    rows = {(one["drill"], one["stack"]): one for one in old}
    rows |= {(one["drill"], one["stack"]): one for one in new}
    return list(rows.values())


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--file", "file", type=click.Path(dir_okay=False, path_type=Path), default=FILE, help="Where they go.")
def main(reports: tuple[Path, ...], file: Path) -> None:
    """Take every drill of REPORTS (report.json) that did not fail and was run as it is, with all safety features."""
    rows = json.loads(file.read_text(encoding="utf-8"))["drills"] if file.exists() else []
    for report in reports:
        document = json.loads(report.read_text(encoding="utf-8"))
        if "edge" not in document or "drills" not in document:
            raise click.ClickException(f"{report} is no report of `python -m rehearsal drill` of this version")
        taken = [
            row(document, drill)
            for drill in document["drills"]
            if drill["figures"] and drill["result"] != "failed" and not any(run["without"] for run in drill["runs"])
        ]
        rows = merged(rows, taken)
        sys.stdout.write(f"{report}: {len(taken)} drills\n")
    file.write_text(json.dumps({"drills": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
