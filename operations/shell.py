"""A shell on a server, or a port of it on this machine, through Session Manager: no SSH, no open port."""

from __future__ import annotations

import os
import shutil

from operations.errors import OperationError
from operations.fleet import FleetServer


def session_command(server: FleetServer, region: str) -> list[str]:
    """The AWS CLI's command that opens a shell on `server`."""
    return ["aws", "ssm", "start-session", "--target", server.instance_id, "--region", region]


def forward_command(server: FleetServer, region: str, port: int, local_port: int) -> list[str]:
    """The AWS CLI's command that leads `local_port` of this machine's loopback to `port` of the server's own address.

    "To remote host", with the server itself as the host: what listens on its private address is not on its loopback.
    """
    parameters = f"host={server.address},portNumber={port},localPortNumber={local_port}"
    document = "AWS-StartPortForwardingSessionToRemoteHost"
    return [*session_command(server, region), "--document-name", document, "--parameters", parameters]


def open_session(server: FleetServer, command: list[str]) -> None:
    """Replace this process by `command`. Raises OperationError when it cannot work."""
    if server.state != "running":
        raise OperationError(f"{server.name} ({server.instance_id}) is {server.state}.")
    # The CLI needs its plug-in, and says so only after the session was opened.
    for program in ("aws", "session-manager-plugin"):
        if shutil.which(program) is None:
            raise OperationError(
                f"'{program}' is not on PATH. Install the AWS CLI and its Session Manager plug-in, or open the shell "
                f"in the AWS console: EC2, {server.instance_id}, Connect, Session Manager."
            )
    os.execvp(command[0], command)  # noqa: S606 - a list, and the terminal must be the session's
