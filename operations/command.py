"""Running a command on a server, through Systems Manager Run Command."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from operations.aws import Aws
from operations.deadline import Deadline
from operations.errors import AwsError, CommandFailedError, ServerUnreachableError
from operations.fleet import FleetServer

# ssm:GetCommandInvocation returns the first 24,000 characters of standard output and the first 8,000 of standard
# error; whatever is beyond is gone unless the command names an S3 bucket for it.
STDOUT_LIMIT = 24_000
STDERR_LIMIT = 8_000
# ssm:SendCommand's TimeoutSeconds (time until the agent picks the command up) has this minimum.
_MINIMUM_DELIVERY_SECONDS = 30
_POLL_SECONDS = 0.5

# The agent itself ends the script at its timeout; this long it gets to say so.
DELIVERY_GRACE_SECONDS = 10.0

_RUNNING = {"Pending", "InProgress", "Delayed", "Cancelling"}
_ENDED = {"Success", "Failed"}


@dataclass(frozen=True)
class CommandResult:
    """How a command ended on a server. Output is cut at STDOUT_LIMIT and STDERR_LIMIT characters."""

    server: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def truncated(self) -> bool:
        """Whether standard output reached Systems Manager's limit, so that its end may be missing."""
        return len(self.stdout) >= STDOUT_LIMIT

    @property
    def complaint(self) -> str:
        """The last line that says why it failed: of standard error, else of standard output."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else f"exit code {self.exit_code} and no output"

    def require(self, what: str) -> CommandResult:
        """Itself when the command succeeded. Raises CommandFailedError, saying that `what` failed."""
        if self.exit_code != 0:
            raise CommandFailedError(f"{self.server}: {what} failed (exit code {self.exit_code}): {self.complaint}")
        return self


class Runner(Protocol):
    """Runs shell commands on servers as root."""

    def run(self, server: FleetServer, script: str, timeout: float) -> CommandResult:
        """Run `script` with /bin/sh; `timeout` is in seconds. Raises ServerUnreachableError or CommandFailedError."""
        ...


class SsmRunner:
    """Run Command with the document AWS-RunShellScript."""

    def __init__(self, aws: Aws, poll_seconds: float = _POLL_SECONDS) -> None:
        self._aws = aws
        self._poll_seconds = poll_seconds

    def run(self, server: FleetServer, script: str, timeout: float) -> CommandResult:
        """Send, then poll the invocation until it ended. Raises OperationError, as the protocol says."""
        command = self._send(server, script, timeout)
        deadline = Deadline(timeout + DELIVERY_GRACE_SECONDS)
        invocation = deadline.poll(lambda: self._ended(command, server), self._poll_seconds)
        if invocation is None:
            self._cancel(command, server)
            raise ServerUnreachableError(
                server.name,
                f"Systems Manager gave no result within {timeout:.0f} s (command {command}). "
                "Is the server running, and its SSM agent with it?",
            )
        return _result(server, invocation, timeout)

    def _send(self, server: FleetServer, script: str, timeout: float) -> str:
        seconds = max(1, math.ceil(timeout))
        try:
            answer = self._aws.call(
                "ssm",
                "send_command",
                InstanceIds=[server.instance_id],
                DocumentName="AWS-RunShellScript",
                Comment="tripod operations",
                TimeoutSeconds=max(_MINIMUM_DELIVERY_SECONDS, seconds),
                Parameters={"commands": [script], "executionTimeout": [str(seconds)]},
            )
        except AwsError as error:
            if error.code != "InvalidInstanceId":
                raise
            raise ServerUnreachableError(
                server.name,
                f"{server.instance_id} ({server.state}) is not managed by Systems Manager. It may still be booting; "
                "otherwise check that it runs, that its role allows AmazonSSMManagedInstanceCore's actions and that "
                "it reaches the ssm endpoint on port 443.",
            ) from error
        return str(answer["Command"]["CommandId"])

    def _ended(self, command: str, server: FleetServer) -> dict[str, Any] | None:
        try:
            invocation = self._aws.call(
                "ssm", "get_command_invocation", CommandId=command, InstanceId=server.instance_id
            )
        except AwsError as error:
            # SendCommand answers before the invocation exists everywhere.
            if error.code == "InvocationDoesNotExist":
                return None
            raise
        return None if invocation["Status"] in _RUNNING else invocation

    def _cancel(self, command: str, server: FleetServer) -> None:
        # A command nobody waits for must not run hours later, when the server is back.
        try:
            self._aws.call("ssm", "cancel_command", CommandId=command, InstanceIds=[server.instance_id])
        except AwsError as error:
            # It ended meanwhile; there is nothing left to cancel.
            if error.code != "InvalidCommandId":
                raise


def _result(server: FleetServer, invocation: dict[str, Any], timeout: float) -> CommandResult:
    status = str(invocation["Status"])
    details = str(invocation.get("StatusDetails") or status)
    result = CommandResult(
        server=server.name,
        exit_code=int(invocation["ResponseCode"]),
        stdout=str(invocation.get("StandardOutputContent") or ""),
        stderr=str(invocation.get("StandardErrorContent") or ""),
    )
    if status in _ENDED:
        # A script that could not be started at all is `Failed` with the response code -1 or 0.
        if status == "Failed" and result.exit_code <= 0:
            raise CommandFailedError(f"{server.name}: the command could not be run ({details}): {result.complaint}")
        return result
    if details.replace(" ", "") in {"DeliveryTimedOut", "Undeliverable", "InvalidPlatform", "AccessDenied"}:
        raise ServerUnreachableError(server.name, f"Systems Manager could not deliver the command ({details}).")
    raise CommandFailedError(f"{server.name}: the command did not end within {timeout:.0f} s ({details}).")


def program(name: str, *arguments: str) -> str:
    """The shell script that runs operations/remote/`name`.py on a server, which needs only its python3."""
    source = resources.files("operations.remote").joinpath(f"{name}.py").read_text()
    words = shlex.join(["python3", "-", *arguments])
    return f"{words} <<'TRIPOD_PROGRAM'\n{source}\nTRIPOD_PROGRAM\n"
