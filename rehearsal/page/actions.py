"""What the page's buttons do: the faults of `python -m rehearsal`, on one server of this stack at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.machine import Machine
from rehearsal.shell import RehearsalError

Handler = Callable[[Mapping[str, Any]], Any]

CRASHES = {"crash-mysql": "mysql.service", "crash-haproxy": "haproxy.service"}
DONE = {
    "kill": "power cut",
    "start": "switched on",
    "cut": "network cable pulled",
    "heal": "network mended",
    "crash-mysql": "mysqld killed (SIGKILL)",
    "crash-haproxy": "HAProxy killed (SIGKILL)",
}


class Actions:
    """Does what a button says. `power` and `fault` are the supervisor's own requests of these names."""

    def __init__(self, machines: Callable[[], Mapping[str, Machine]], power: Handler, fault: Handler) -> None:
        self._machines, self._power, self._fault = machines, power, fault

    def __call__(self, action: str, server: str) -> str:
        """Do it and say what was done. Raises RehearsalError, also for a server or an action that is not there."""
        machine = self._machines().get(server)
        if machine is None:
            raise RehearsalError(f"there is no server {server!r}")
        if action not in DONE:
            raise RehearsalError(f"there is no action {action!r}")
        if action in CRASHES:
            machine.run("systemctl", "kill", "--signal=KILL", CRASHES[action], timeout=10, check=True)
        elif action in {"kill", "start"}:
            self._power({"servers": [server], "action": action})
        else:
            self._fault({"action": action, "arguments": [server]})
        return DONE[action]
