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

NOTHING_WEAK = (
    "No single point of failure: the site survives the loss of any one server, zone or program. "
    "The loss of the region, or of a service of AWS, is not looked at."
)


def failure_rows(topology: Topology) -> list[tuple[str, str, str]]:
    """One row a failure, as in FAILURE_HEADERS."""
    return [(one.event, describe(one.reads), describe(one.writes)) for one in single_failures(topology)]


def explain(topology: Topology, console: Console) -> None:
    """Print the card: what is weak stands before what is merely long."""
    servers = "1 server" if len(topology.servers) == 1 else f"{len(topology.servers)} servers"
    console.print(Text(f"Stack {topology.stack} in {topology.region}: {servers}", style="bold"))
    console.print()
    console.print(Text(draw(topology, console.width)))
    console.print()
    weak = weaknesses(topology)
    if not weak:
        console.print(Text(NOTHING_WEAK, style="green"))
    for weakness in weak:
        console.print(Text(f"WARNING: {weakness.text} {weakness.mend}", style="yellow"))
    console.print()
    console.print(terminal_table("Single failures", FAILURE_HEADERS, failure_rows(topology)))
    console.print()
    console.print(terminal_table("Flows (all others are closed)", FLOW_HEADERS, flow_rows(topology)))
