"""A shell on a server, through Session Manager: no SSH, no open port."""

from __future__ import annotations

import os
import shutil

from operations.errors import OperationError
from operations.fleet import FleetServer


def session_command(server: FleetServer, region: str) -> list[str]:
    """The AWS CLI's command that opens a shell on `server`."""
    return ["aws", "ssm", "start-session", "--target", server.instance_id, "--region", region]


def open_session(server: FleetServer, region: str) -> None:
    """Replace this process by that command. Raises OperationError when it cannot work."""
    if server.state != "running":
        raise OperationError(f"{server.name} ({server.instance_id}) is {server.state}.")
    # The CLI needs its plug-in, and says so only after the session was opened.
    for program in ("aws", "session-manager-plugin"):
        if shutil.which(program) is None:
            raise OperationError(
                f"'{program}' is not on PATH. Install the AWS CLI and its Session Manager plug-in, or open the shell "
                f"in the AWS console: EC2, {server.instance_id}, Connect, Session Manager."
            )
    command = session_command(server, region)
    os.execvp(command[0], command)  # noqa: S606 - a list, and the terminal must be the session's
