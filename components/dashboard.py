"""The CloudWatch dashboard of a stack: one look from outside, made from the topology alone.

Graphs name alarms, not instances: CloudWatch draws the metric of the alarm that a graph is annotated with, so the
whole text is known at a preview.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components.permissions import Account
from topology import names
from topology.model import Topology

# CloudWatch user guide, "Dashboard body structure and syntax": a grid of 24 columns, at most 500 widgets.
COLUMNS = 24
ROW = 5
GRAPHS_IN_A_ROW = 4
MOST_WIDGETS = 500
# "Alarm widget object": at most 100 alarms.
ALARMS_IN_A_WIDGET = 100

Widget = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """An alarm as the dashboard needs it: the parts of its name, and the title of its graph."""

    subject: str
    symptom: str
    title: str


@dataclass(frozen=True)
class Contents:
    """What the dashboard shows."""

    topology: Topology
    account: Account
    watched: Sequence[Watched]


def dashboard_body(args: Contents) -> str:
    """The dashboard as JSON: servers and roles, the state of every alarm, and a graph of what each looks at."""
    arns = {one: _arn(args, one) for one in args.watched}
    groups = [list(arns.values())[at : at + ALARMS_IN_A_WIDGET] for at in range(0, len(arns), ALARMS_IN_A_WIDGET)]
    widgets = [_text(args.topology), *(_states(group) for group in groups)]
    # What CloudWatch has no room for is still in the widgets of states.
    shown = list(arns.items())[: MOST_WIDGETS - len(widgets)]
    widgets += [_graph(args.topology.region, one.title, arn) for one, arn in shown]
    return json.dumps({"widgets": list(_placed(widgets))})


def _arn(args: Contents, one: Watched) -> str:
    return args.account.arn("cloudwatch", f"alarm:{names.alarm(args.topology.stack, one.subject, one.symptom)}")


def _text(topology: Topology) -> Widget:
    # No sizes: a change of one server's type shall touch that server alone.
    rows = [
        f"| {server.name} | {', '.join(server.roles)} | {server.zone} | {server.address} |"
        for server in topology.servers
    ]
    head = ["| Server | Roles | Zone | Address |", "|---|---|---|---|"]
    return {
        "type": "text",
        "width": COLUMNS,
        "height": 3 + len(rows),
        "properties": {"markdown": "\n".join([f"# Tripod stack {topology.stack}", "", *head, *rows])},
    }


def _states(arns: Sequence[str]) -> Widget:
    properties = {"title": "Alarms", "alarms": list(arns), "sortBy": "stateUpdatedTimestamp"}
    return {"type": "alarm", "width": COLUMNS, "height": ROW, "properties": properties}


def _graph(region: str, title: str, arn: str) -> Widget:
    return {
        "type": "metric",
        "width": COLUMNS // GRAPHS_IN_A_ROW,
        "height": ROW,
        "properties": {"title": title, "region": region, "view": "timeSeries", "annotations": {"alarms": [arn]}},
    }


def _placed(widgets: Iterable[Widget]) -> Iterable[Widget]:
    """Each with its place: from left to right, in rows."""
    x = y = height = 0
    for widget in widgets:
        if x + widget["width"] > COLUMNS:
            x, y, height = 0, y + height, 0
        yield {"x": x, "y": y, **widget}
        x, height = x + widget["width"], max(height, widget["height"])
