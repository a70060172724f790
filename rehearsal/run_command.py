"""SSM Run Command: what the emulated AWS accepted is run on the hosts, and its invocations say how it went."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from rehearsal.machine import Machine, Power
from rehearsal.shell import EXIT_TIMEOUT, RehearsalError, Result

# ssm:GetCommandInvocation returns no more than this (API reference).
STDOUT_LIMIT = 24_000
STDERR_LIMIT = 8_000
DEFAULT_TIMEOUT = 3600.0

_log = logging.getLogger(__name__)


class RunCommand:
    """Runs commands of the document AWS-RunShellScript.

    `find(instance_id)` gives the host of an instance, or None while it has none; `lock` guards moto's objects.
    """

    def __init__(self, find: Callable[[str], Machine | None], lock: AbstractContextManager[Any]) -> None:
        self._find = find
        self._lock = lock

    def managed(self, instance_id: str) -> bool:
        """Whether an instance can take commands: its host answers."""
        machine = self._find(instance_id)
        return machine is not None and machine.power is Power.ON

    def start(self, command: Any) -> None:
        """Begin a command (moto's object) on each of its instances; return at once."""
        command.left = len(command.invocations)
        for invocation in command.invocations:
            threading.Thread(
                target=self._run, args=(command, invocation), name=f"ssm-{invocation['InstanceId']}", daemon=True
            ).start()

    def _run(self, command: Any, invocation: dict[str, Any]) -> None:
        parameters = command.parameters
        script = "\n".join(parameters.get("commands") or [])
        timeout = float((parameters.get("executionTimeout") or [DEFAULT_TIMEOUT])[0])
        directory = (parameters.get("workingDirectory") or [""])[0]
        started = time.monotonic()
        try:
            machine = self._find(invocation["InstanceId"])
            if machine is None:
                raise RehearsalError(f"{invocation['InstanceId']} has no host")  # noqa: TRY301
            words = ["env", f"--chdir={directory}"] if directory else []
            outcome = _outcome(machine.run(*words, "/bin/sh", "-c", script, timeout=timeout), timeout)
        except RehearsalError as error:
            # The host went off. The agent's answer never comes; AWS notices when the time is over.
            _log.info("command %s on %s: %s", command.command_id, invocation["InstanceId"], error)
            outcome = {"Status": "TimedOut", "StatusDetails": "DeliveryTimedOut", "ResponseCode": -1}
        outcome["ExecutionElapsedTime"] = f"PT{time.monotonic() - started:.3f}S"
        with self._lock:
            invocation.update(outcome)
            command.left -= 1
            command.completed_count += 1
            if outcome["Status"] != "Success":
                command.error_count += 1
            if command.left == 0:
                command.status = command.status_details = "Failed" if command.error_count else "Success"


def _outcome(result: Result, timeout: float) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "StandardOutputContent": result.stdout[:STDOUT_LIMIT],
        "StandardErrorContent": result.stderr[:STDERR_LIMIT],
        "ResponseCode": result.exit_code,
    }
    if result.ok:
        return {**answer, "Status": "Success", "StatusDetails": "Success"}
    if result.exit_code == EXIT_TIMEOUT and result.stderr.endswith(f"no end in {timeout} s"):
        return {**answer, "Status": "TimedOut", "StatusDetails": "Execution Timed Out", "ResponseCode": 137}
    return {**answer, "Status": "Failed", "StatusDetails": "Failed"}
