"""The last words of a server in trouble: its journal, or its console when no command can be run on it."""

from __future__ import annotations

import re
import shlex

from operations.aws import Aws
from operations.command import Runner
from operations.errors import CommandFailedError, OperationError
from operations.fleet import FleetServer
from operations.state import HostStatus

LINES = 20

# Far below what Run Command returns, because twenty lines of MySQL can be long.
_CHARACTERS = 6_000
_TIMEOUT = 20
_UNITS = ("tripod*", "cloud-*")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def last_words(aws: Aws, runner: Runner, server: FleetServer, status: HostStatus | None) -> str:
    """Up to LINES lines, titled with where they come from. Says so when there are none; raises nothing of AWS."""
    if server.state == "running":
        try:
            return f"{server.name}, journal:\n{_indent(_journal(runner, server, status))}"
        except OperationError as error:
            journal = str(error).removeprefix(f"{server.name}: ")
    else:
        journal = f"the instance is {server.state}"
    try:
        console = aws.call("ec2", "get_console_output", InstanceId=server.instance_id).get("Output") or ""
    except OperationError as error:
        return f"{server.name}, no journal ({journal}) and no console ({error})"
    return f"{server.name}, no journal ({journal}); console:\n{_indent(str(console))}"


def _journal(runner: Runner, server: FleetServer, status: HostStatus | None) -> str:
    units = [name for name, state in status.units.items() if state != "active"] if status else []
    selection = " ".join(f"--unit={shlex.quote(unit)}" for unit in (*_UNITS, *units))
    command = f"journalctl --no-pager --output=short-iso --lines={LINES} {selection} | tail -c {_CHARACTERS}"
    result = runner.run(server, command, _TIMEOUT)
    if result.exit_code != 0:
        raise CommandFailedError(f"{server.name}: {result.complaint}")
    return result.stdout


def _indent(text: str) -> str:
    lines = [_CONTROL.sub("", line).rstrip() for line in text.splitlines()]
    kept = [line for line in lines if line][-LINES:]
    return "\n".join(f"    {line}" for line in kept) or "    (empty)"
