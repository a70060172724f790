"""Draws the worst run of a drill from a report, for the documentation: `python -m tools.drill_picture`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rehearsal.drills.plot import Plot
from rehearsal.drills.timeline import from_document


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("drill")
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
def main(report: Path, drill: str, picture: Path) -> None:
    """Draw DRILL of REPORT (a report.json) into PICTURE, an SVG file."""
    document = json.loads(report.read_text(encoding="utf-8"))
    runs = [run for one in document["drills"] if one["drill"] == drill for run in one["runs"] if run["timeline"]]
    if not runs:
        names = ", ".join(one["drill"] for one in document["drills"]) or "none"
        raise click.ClickException(f"{report} has no run of {drill} that was recorded; drills in it: {names}")
    worst = max(runs, key=lambda run: float(run["verdict"]["write_gap"]))
    elements = Plot(drill, from_document(worst["timeline"])).elements(standalone=True)
    picture.write_text("\n".join(elements) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
