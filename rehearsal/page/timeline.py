"""What changed between two looks at the stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

KEPT = 60


def facts(document: Mapping[str, Any]) -> dict[str, str]:
    """What a timeline is about, as subject -> state. A subject that says nothing is absent."""
    found: dict[str, str] = {"primary": document["primary"] or "none"}
    for public, server in document["elastic"].items():
        found[f"address {public}"] = f"at {server}"
    for server in document["servers"]:
        name, now = server["name"], server["now"]
        found[f"{name} power"] = now["power"]
        found[f"{name} network"] = "severed" if now["severed"] else "connected"
        if now["database"]:
            found[f"{name} database"] = now["database"]["member_state"]
        if now["app"] is not None:
            found[f"{name} application"] = "up" if now["app"]["up"] else "down"
    for alert in document["alerts"]:
        if alert["state"] == "firing":
            found[f"alert {alert['name']} {alert['server']}".strip()] = "firing"
    return found


class Timeline:
    """The last KEPT events, newest first. It knows only what happened between two looks."""

    def __init__(self) -> None:
        self.events: deque[dict[str, str | float]] = deque(maxlen=KEPT)
        self._last: dict[str, str] = {}

    def look(self, document: Mapping[str, Any], at: float) -> bool:
        """Compare with the look before and return whether anything changed. `at` is in seconds since 1970.

        The first look only sets the scene.
        """
        now, before = facts(document), self._last
        self._last = now
        if not before:
            return False
        changed = sorted(subject for subject in {*before, *now} if before.get(subject) != now.get(subject))
        for subject in changed:
            self.add(at, subject, f"{before.get(subject, 'not seen')} → {now.get(subject, 'gone')}")
        return bool(changed)

    def add(self, at: float, subject: str, text: str) -> None:
        """Write something down by hand."""
        self.events.appendleft({"at": at, "subject": subject, "text": text})
