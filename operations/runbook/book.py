"""Renders the runbook from its entries (entries/*.md.j2) and the model.

An entry is Markdown: a heading of the second level, then, for something that breaks, the four parts of PARTS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from operations.errors import OperationError
from operations.explain import FAILURE_HEADERS
from operations.failures import describe, single_failures
from operations.runbook.alarms import alarms
from operations.runbook.drills import DRILL_ENTRIES, drills
from operations.tables import markdown_table
from topology import names, ports
from topology.model import Topology
from topology.names import Edge, Log

ENTRIES = Path(__file__).parent / "entries"
PARTS = ("What it means", "What users feel", "What to look at", "What to type")

# Which entry tells what to do after a failure, by how its event begins (operations/failures.py).
FAILURE_ENTRIES = (
    (r"host ", "server-lost"),
    (r"zone ", "zone-lost"),
    (r"HAProxy ", "haproxy-down"),
    (r"application ", "application-down"),
    (r"mysqld ", "mysqld-down"),
)

INTRODUCTION = """\
# Runbook

Written by `make docs` from the model and from operations/runbook/entries; do not edit it here. It names the servers of
stack `{stack}`. For another stack, with its own names: `.venv/bin/python -m operations runbook --stack NAME`.

Commands that begin with `.venv/bin/python` or `aws` are typed in a copy of this repository, with credentials of the
account. Those "on the server" are typed in a shell that `.venv/bin/python -m operations shell --stack {stack} SERVER`
opens, after `sudo -i`. Words in capitals are yours to fill in.

A bundle is all that makes a server what it is: files, units and packages. `pulumi up` puts one for each server into
the stack's bucket. To apply it is to fetch it, check it, and change on the server what differs. `operations apply` does
that on one server or all of them, one after the other. It starts what has stopped, and leaves alone what runs and is
right.

Start here, whatever it is: it names each server, its state and what is wrong with it.

```
export AWS_REGION={region}
.venv/bin/python -m operations status --stack {stack}
.venv/bin/python -m operations dashboard --stack {stack}
```

## What each single failure does

"""
ALONE = """\
---
"On the server" is in a shell that `.venv/bin/python -m operations shell --stack {stack} SERVER` opens, after `sudo -i`.
Words in capitals are yours to fill in.
"""

ALERTS = """
## What to do about an alert

Prometheus and Alertmanager send these:

"""
ALERT_HEADERS = ("alert", "what to do")
ALARMS = """
CloudWatch, which watches from outside, sends these:

"""
ALARM_HEADERS = ("CloudWatch alarm", "what to do")
DRILLS = """
## What each drill looks like

The drills of the rehearsal, for whoever is on call. To practise one: `make rehearse STACK={stack}`, then
`.venv/bin/python -m rehearsal drill --stack {stack} NAME`. Alerts are those that fire when it lasts for minutes; most
drills end before.

"""
DRILL_HEADERS = ("drill", "what one sees", "alerts", "what to look at and to type")


@dataclass(frozen=True)
class Entry:
    """One section. `key` is its name on the command line, `title` its heading."""

    key: str
    title: str
    text: str

    @property
    def anchor(self) -> str:
        """Its link target on GitHub."""
        return re.sub(r"[^a-z0-9 -]", "", self.title.lower()).replace(" ", "-")

    @property
    def alerts(self) -> tuple[str, ...]:
        """Names of the alerts that lead here: its line "Alerts: A, B."."""
        return self._named("Alerts")

    @property
    def alarms(self) -> tuple[str, ...]:
        """Names of the CloudWatch alarms that lead here: its line "CloudWatch alarms: A, B."."""
        return self._named("CloudWatch alarms")

    def _named(self, what: str) -> tuple[str, ...]:
        found = re.search(rf"^{what}: (.+)\.$", self.text, re.MULTILINE)
        return tuple(found[1].split(", ")) if found else ()


def entries(topology: Topology) -> tuple[Entry, ...]:
    """Every section for a stack, in the order of the files' names."""
    environment = Environment(
        loader=FileSystemLoader(ENTRIES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  (Markdown, not HTML)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return tuple(
        _entry(path.name.split("-", 1)[1].removesuffix(".md.j2"), environment.get_template(path.name).render(context))
        for context in [_context(topology)]
        for path in sorted(ENTRIES.glob("*.md.j2"))
    )


def entry(topology: Topology, key: str) -> Entry:
    """The section called `key`, or that an alert, a CloudWatch alarm or a drill of this name leads to.

    Raises OperationError with the names that there are.
    """
    return _chosen(entries(topology), key)


def alone(topology: Topology, key: str) -> str:
    """The section called `key`, as it stands in a terminal without the others: its links are commands that print them.

    Raises what `entry` raises.
    """
    found = entries(topology)
    keys = {one.anchor: one.key for one in found}

    def command(link: re.Match[str]) -> str:
        return f"{link[1]} (`.venv/bin/python -m operations runbook --stack {topology.stack} {keys[link[2]]}`)"

    text = re.sub(r"\[([^\]]+)\]\(#([^)]+)\)", command, _chosen(found, key).text)
    return f"{text}\n{ALONE.format(stack=topology.stack)}"


def entry_of_failure(event: str) -> str:
    """Key of the entry for a failure of operations/failures.py. Raises KeyError when there is none."""
    for beginning, key in FAILURE_ENTRIES:
        if re.match(beginning, event):
            return key
    raise KeyError(event)


def book(topology: Topology) -> str:
    """The whole runbook as Markdown."""
    found = entries(topology)
    anchors = {one.key: f"[{one.title}](#{one.anchor})" for one in found}
    rows = [
        (one.event, describe(one.reads), describe(one.writes), anchors[entry_of_failure(one.event)])
        for one in single_failures(topology)
    ]
    table = markdown_table((*FAILURE_HEADERS, "what to do"), rows)
    alerts = sorted((name, anchors[one.key]) for one in found for name in one.alerts)
    alarmed = sorted((name, anchors[one.key]) for one in found for name in one.alarms)
    drilled = [
        (name, one.sees, ", ".join(one.alerts) or "none", anchors[one.entry]) for name, one in drills(topology).items()
    ]
    parts = (
        INTRODUCTION.format(stack=topology.stack, region=topology.region),
        table,
        ALERTS,
        markdown_table(ALERT_HEADERS, alerts),
        ALARMS,
        markdown_table(ALARM_HEADERS, alarmed),
        DRILLS.format(stack=topology.stack),
        markdown_table(DRILL_HEADERS, drilled),
    )
    return "".join(parts) + "".join(f"\n{one.text}" for one in found)


def _chosen(found: tuple[Entry, ...], key: str) -> Entry:
    wanted = DRILL_ENTRIES[key].entry if key in DRILL_ENTRIES else key
    for one in found:
        if one.key == wanted or key in (*one.alerts, *one.alarms):
            return one
    raise OperationError(
        f"the runbook has no entry '{key}'; it has: {', '.join(one.key for one in found)}. "
        "The name of an alert, a CloudWatch alarm or a drill will do, too."
    )


def _entry(key: str, text: str) -> Entry:
    heading = re.match(r"## (.+)\n", text)
    if heading is None:
        raise ValueError(f"the entry {key} does not begin with a heading of the second level")
    return Entry(key, heading[1], text)


def _context(topology: Topology) -> dict[str, object]:
    replicas = [server for server in topology.databases if server.name != topology.preferred_primary]
    return {
        "topology": topology,
        "stack": topology.stack,
        "alarms": alarms(topology),
        "region": topology.region,
        "primary": topology.preferred_primary,
        "replica": replicas[0].name if replicas else topology.preferred_primary,
        "balancer": topology.load_balancers[0].name,
        "balancers": [server.name for server in topology.load_balancers],
        "app": topology.apps[0].name,
        "databases": [server.name for server in topology.databases],
        "monitors": [server.name for server in topology.monitors],
        "server": topology.servers[-1].name,
        "server_alarm": names.alarm(topology.stack, "SERVER", "instance"),
        "alertmanager": f"http://{topology.monitors[0].address}:{ports.ALERTMANAGER}" if topology.monitors else "",
        "floating": topology.edge is Edge.FLOATING_EIP,
        "logs": {log.value: names.log_group(topology.stack, log) for log in Log},
        "parameters": names.parameter_prefix(topology.stack),
        "group_parameters": names.group_parameters(topology.stack),
        # Without account and region, which come after it.
        "backup_bucket": names.backup_bucket(topology.stack, "", "").rstrip("-") + "-",
        "own_certificate": topology.tls.mode != "self-signed",
    }
