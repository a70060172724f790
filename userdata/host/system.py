"""The seam between the host programs and the machine: a root directory, commands, ownership and a clock.

Tests give a directory of their own and a fake `run`; everything else is the same code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import syslog
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Result:
    """How a command ended: exit code and its two outputs joined."""

    code: int
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command succeeded."""
        return self.code == 0

    @property
    def last_line(self) -> str:
        """The last line that says something; commands put their verdict there."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


class Run(Protocol):
    """Runs a command to its end. A missing program gives exit code 127, a late one 124, as in a shell."""

    def __call__(
        self, command: Sequence[str], *, timeout: float = ..., env: Mapping[str, str] | None = ...
    ) -> Result: ...


def run(command: Sequence[str], *, timeout: float = 120.0, env: Mapping[str, str] | None = None) -> Result:
    """The real :class:`Run`. `timeout` in seconds; `env` is added to the environment."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        return Result(127, f"{command[0]}: command not found")
    except subprocess.TimeoutExpired as error:
        text = error.stdout.decode(errors="replace") if error.stdout else ""
        return Result(124, f"{text}\n{command[0]} did not end within {timeout:g} s")
    return Result(done.returncode, done.stdout.decode(errors="replace"))


def chown(path: Path, owner: str) -> None:
    """Give `path` to "user:group". Raises LookupError when one of them does not exist."""
    user, _, group = owner.partition(":")
    shutil.chown(path, user, group or user)


def journal(identifier: str, text: str) -> None:
    """One line in the journal."""
    syslog.openlog(identifier, 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_NOTICE, text)
    syslog.closelog()


@dataclass(frozen=True)
class System:
    """One machine. `root` is "/" on a server."""

    root: Path = Path("/")
    run: Run = run
    chown: Callable[[Path, str], None] = chown
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = field(default=time.sleep)
    journal: Callable[[str, str], None] = journal

    def path(self, absolute: str) -> Path:
        """Where the server's `absolute` path is below the root."""
        return self.root / absolute.lstrip("/")

    def wait(self, predicate: Callable[[], bool], *, seconds: float, interval: float = 0.2) -> bool:
        """Ask `predicate` until it holds (True) or the deadline has passed (False)."""
        deadline = self.clock() + seconds
        while not predicate():
            if self.clock() >= deadline:
                return False
            self.pause(interval)
        return True
