"""Long work on a server: started through Run Command as a unit of its own, then looked at until it has ended.

It goes on when the connection is lost, and its journal is that of its unit.
"""

from __future__ import annotations

import json
import shlex
import uuid
from typing import Any

from operations.command import STDOUT_LIMIT, CommandResult, Runner
from operations.deadline import Deadline
from operations.errors import TRANSIENT, CommandFailedError, OperationError
from operations.fleet import FleetServer
from operations.progress import Progress

_POLL_SECONDS = 1.0
_CALL_SECONDS = 60.0


def run_job(
    runner: Runner, server: FleetServer, progress: Progress, deadline: Deadline, *words: str, gentle: bool = False
) -> dict[str, Any]:
    """Run `host.backup_command WORDS` on a server; its result.

    `gentle` gives it what is left of processor and disk. Raises OperationError with the program's own message when it
    fails, or when it has not ended within `deadline` (it then goes on by itself). While the server, or AWS, cannot be
    reached, it is looked for again: what follows a job of a restore is what makes the stack whole.
    """
    name = f"tripod-job-{words[0]}-{uuid.uuid4().hex[:8]}"
    file = f"/run/tripod-backup/{name}.json"
    slow = ["--property=Nice=10", "--property=IOSchedulingClass=idle", "--property=MemoryMax=1G"] if gentle else []
    unit = ["systemd-run", "--quiet", "--collect", f"--unit={name}", *slow]
    unit += ["--setenv=PYTHONPATH=/usr/local/lib/tripod", "--setenv=HOME=/root", "--setenv=PYTHONUNBUFFERED=1"]
    command = [*unit, "python3", "-P", "-m", "host.backup_command", *words, "--job", file]
    runner.run(server, shlex.join(command), _CALL_SECONDS).require(f"starting {name}")
    # In this order: one that has ended has written its last word before.
    look = f"systemctl show --property=ActiveState {name}.service; cat {file} 2>/dev/null"

    def ended() -> dict[str, Any] | None:
        try:
            seen = runner.run(server, look, _CALL_SECONDS)
        except TRANSIENT as error:
            progress.report(server.name, f"cannot be asked how it goes, trying again: {error}")
            return None
        active, _, rest = seen.stdout.strip().partition("\n")
        over = active in ("ActiveState=inactive", "ActiveState=failed")
        try:
            state: dict[str, Any] = json.loads(rest) if rest else {"done": False}
        except json.JSONDecodeError as error:
            damage = _damage(seen, error)
            if over:
                raise CommandFailedError(
                    f"{server.name}: {name} has ended, but what it said cannot be read ({damage}); whether it was "
                    f"done: journalctl -u {name}"
                ) from error
            progress.report(server.name, f"what it says cannot be read ({damage}), trying again")
            return None
        if not state["done"] and over:
            raise CommandFailedError(f"{server.name}: {name} ended without a word; see journalctl -u {name}")
        if rest:
            progress.report(server.name, str(state["step"]))
        return state if state["done"] else None

    state = deadline.poll(ended, _POLL_SECONDS)
    if state is None:
        raise OperationError(f"{server.name}: {name} has not ended; it goes on there, see journalctl -u {name}")
    if state["error"]:
        raise OperationError(f"{server.name}: {state['error']}")
    result: dict[str, Any] = state["result"]
    return result


def _damage(seen: CommandResult, error: json.JSONDecodeError) -> str:
    return f"Systems Manager shows {STDOUT_LIMIT} characters, and it has more" if seen.truncated else str(error)
