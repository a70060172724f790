"""Which section of the runbook each CloudWatch alarm leads to. tests/operations/test_runbook.py checks it."""

from __future__ import annotations

from userdata.prometheus.runbook import section

# Anchor of a section: the symptoms (last parts of the alarms' names) that lead to it.
SECTIONS = {
    "a-server-is-lost": ("system", "instance"),
    "a-server-uses-up-its-cpu-credits": ("credits",),
    "haproxy-is-down": ("unhealthy",),
    "the-site-fails-or-is-slow": ("down",),
    "monitoring-is-blind-or-mute": ("heartbeat",),
}


def runbook(symptom: str) -> str:
    """Where the runbook says what to do. Raises KeyError for a symptom that it does not know."""
    return section(SECTIONS, symptom)
