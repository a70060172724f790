"""Write what the documentation derives from the program: `make docs`. tests/test_docs.py checks that it is current.

Parts of README.md stand between `<!-- NAME: written by make docs -->` and `<!-- end of NAME -->`; files under
docs/pictures, docs/firewall.md, docs/drills.md and docs/runbook.md are written whole.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from operations.flow_table import HEADERS, flow_rows
from operations.measured import HEADERS as MEASURED_HEADERS
from operations.measured import measured, measured_rows
from operations.runbook.book import book
from operations.tables import markdown_table
from tools import configuration
from topology.model import Topology
from topology.picture import draw
from topology.reading import read_configuration
from topology.stackfile import read_stack

ROOT = Path(__file__).parent.parent

FIREWALL = """\
# The firewall

Written by `make docs` from the table of flows (topology/flows.py); do not edit it here. The security groups on
AWS, the rules of the rehearsal and the test that tries every port come from the same table. What is not listed is
closed. Administration goes through Session Manager, so there is no SSH.
"""

DRILLS = """\
# What drills showed

Written by `make docs` from operations/measured.json, which `python -m tools.figures` takes from reports of
`python -m rehearsal drill`; do not edit it here. Times are in seconds on a machine with two cores: median, 95th
percentile and worst of all runs, each a value that was measured. The emulated EC2 API answers faster than the real one.

"""
REPEATED = 10
"""Runs from which on figures are shown to everybody."""


def stacks(root: Path = ROOT) -> Iterator[Topology]:
    """The topology of every stack that is shipped, by name."""
    for path in sorted(root.glob("Pulumi.*.yaml")):
        stack = read_stack(root, path.name.split(".")[1])
        yield read_configuration(stack.config, stack.stack).topology


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file with the text it should have."""
    topologies = list(stacks(root))
    texts = {root / "docs" / "pictures" / f"{t.stack}.svg": draw(t) for t in topologies}
    sections = [f"\n## Stack `{t.stack}`\n\n{markdown_table(HEADERS, flow_rows(t))}" for t in topologies]
    texts[root / "docs" / "firewall.md"] = FIREWALL + "".join(sections)
    # Most of what can happen happens in the stack with the most parts.
    texts[root / "docs" / "runbook.md"] = book(max(topologies, key=lambda t: (len(t.load_balancers), t.stack)))
    texts[root / "docs" / "drills.md"] = DRILLS + markdown_table(MEASURED_HEADERS, measured_rows(measured()))
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
    readme = root / "README.md"
    often = [one for one in measured() if one.runs >= REPEATED]
    text = insert(readme.read_text(encoding="utf-8"), "configuration", configuration.configuration(declared))
    texts[readme] = insert(text, "figures", "\n" + markdown_table(MEASURED_HEADERS, measured_rows(often)))
    return texts


def insert(text: str, name: str, part: str) -> str:
    """`text` with the part called `name` replaced. ValueError when its two marks are not there."""
    begin, end = f"<!-- {name}: written by make docs -->", f"<!-- end of {name} -->"
    found = re.search(rf"{re.escape(begin)}\n.*?{re.escape(end)}", text, re.DOTALL)
    if not found:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return text[: found.start()] + f"{begin}\n{part}{end}" + text[found.end() :]


def main() -> None:
    """Write what has changed and say what it was."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
