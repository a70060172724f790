"""The topology card: what a stack is, who may talk to whom, and what each single failure does."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from operations.drawing import draw
from operations.failures import describe, single_failures, weaknesses
from operations.flow_table import HEADERS as FLOW_HEADERS
from operations.flow_table import flow_rows
from operations.tables import terminal_table
from topology.model import Topology

FAILURE_HEADERS = ("failure", "reads", "writes")


def failure_rows(topology: Topology) -> list[tuple[str, str, str]]:
    """One row a failure, as in FAILURE_HEADERS."""
    return [(one.event, describe(one.reads), describe(one.writes)) for one in single_failures(topology)]


def explain(topology: Topology, console: Console) -> None:
    """Print the card."""
    console.print(Text(f"Stack {topology.stack} in {topology.region}: {len(topology.servers)} servers", style="bold"))
    console.print()
    console.print(Text(draw(topology, console.width)))
    console.print()
    console.print(terminal_table("Flows (all others are closed)", FLOW_HEADERS, flow_rows(topology)))
    console.print()
    console.print(terminal_table("Single failures", FAILURE_HEADERS, failure_rows(topology)))
    console.print()
    weak = weaknesses(topology)
    if not weak:
        console.print(Text("No single point of failure.", style="green"))
    for weakness in weak:
        console.print(Text(f"WARNING: {weakness.text} {weakness.mend}", style="yellow"))
