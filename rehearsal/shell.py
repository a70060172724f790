"""Run a program of this machine and know what it said."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class RehearsalError(Exception):
    """Something of the rehearsal could not be done; the message says what and what to do about it."""


@dataclass(frozen=True)
class Result:
    """What a finished command answered. A command ended at its time limit has exit code 124, as timeout(1)."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.exit_code == 0

    def check(self) -> Result:
        """Return itself, or raise CommandError when the exit code is not 0."""
        if not self.ok:
            raise CommandError(self)
        return self


class CommandError(RehearsalError):
    """A command failed. `result` holds its exit code and both of its streams."""

    def __init__(self, result: Result) -> None:
        self.result = result
        said = (result.stderr.strip() or result.stdout.strip())[-2000:]
        command = shlex.join(result.command)
        super().__init__(f"`{command}` ended with exit code {result.exit_code}: {said or 'no output'}")


EXIT_TIMEOUT = 124


def tool_environment() -> dict[str, str]:
    """This process's environment with the directories where nft, ip and losetup live on PATH, and plain messages."""
    path = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    return {**os.environ, "PATH": os.pathsep.join(dict.fromkeys(filter(None, path))), "LC_ALL": "C.UTF-8"}


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run a command of this machine to its end, for `timeout` seconds at most.

    Raises CommandError when `check` and it failed, RehearsalError when there is no such program.
    """
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=tool_environment() if environment is None else dict(environment),
        )
        result = Result(tuple(command), done.returncode, done.stdout, done.stderr)
    except FileNotFoundError as error:
        raise RehearsalError(f"{command[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        said = _text(error.stderr) or f"no end in {timeout} s"
        result = Result(tuple(command), EXIT_TIMEOUT, _text(error.stdout), said)
    return result.check() if check else result


def _text(said: bytes | str | None) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else (said or "")
