"""Starting, finding and ending a stack's supervisor from another process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rehearsal import control
from rehearsal.cleanup import cleanup
from rehearsal.control import Answer, NotRunningError
from rehearsal.paths import StackPaths, invocation
from rehearsal.shell import RehearsalError
from rehearsal.state import State

if TYPE_CHECKING:
    from rehearsal.supervisor import Options

START_TIMEOUT = 60.0
END_TIMEOUT = 45.0
MODULE = "rehearsal.supervisor"
ROOT = Path(__file__).resolve().parent.parent


class Daemon:
    """The supervisor of one stack, which may or may not be running."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self.paths = StackPaths(stack)

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return self.paths.directory / "control.sock"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.paths.directory / "supervisor.log"

    @property
    def state(self) -> Path:
        """Resources and outputs of the program."""
        return self.paths.directory / "state.json"

    @property
    def ca_file(self) -> Path:
        """The certificate that the site's chain ends in."""
        return self.paths.directory / "ca.pem"

    def trust(self, certificates: str) -> None:
        """Write the CA file (PEM) by one rename: clients read it at any time, and half a file fails their handshake."""
        partial = self.ca_file.with_suffix(".partial")
        partial.write_text(certificates)
        partial.replace(self.ca_file)

    @property
    def complete(self) -> bool:
        """Whether the last run of the program came to its end."""
        return State.load(self.state).complete

    def ask(self, op: str, *, timeout: float = 60, **arguments: object) -> Answer:
        """Ask the supervisor. Raises NotRunningError with what to do about it."""
        try:
            return control.ask(self.socket, {"op": op, **arguments}, timeout)
        except NotRunningError:
            raise NotRunningError(f"no rehearsal of stack '{self.stack}' is running. {self._instead()}") from None

    def _instead(self) -> str:
        """What to do about a stack that is not running: start it, if it is one."""
        from topology.stackfile import stack_names  # noqa: PLC0415  (brings YAML)

        start = f"{invocation()} up --stack {self.stack}"
        root = self.paths.root
        others = [Daemon(path.name) for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
        running = ", ".join(sorted(one.stack for one in others if one._pid())) or "none"  # noqa: SLF001  (its own class)
        if (ROOT / f"Pulumi.{self.stack}.yaml").is_file():
            return f"Start it: {start}. Running: {running}"
        stacks = ", ".join(stack_names(ROOT)) or "none"
        return (
            f"Running: {running}. There is no Pulumi.{self.stack}.yaml in {ROOT}; stacks that have one: {stacks}. "
            f"Start one of another directory: {start} --project DIRECTORY"
        )

    @property
    def running(self) -> bool:
        """Whether it answers."""
        try:
            control.ask(self.socket, {"op": "ping"}, 10)
        except NotRunningError:
            return False
        return True

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Only one `up` or `down` of a stack at a time."""
        self.paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.paths.root / f"{self.stack}.lock"
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Who held it may have removed it between our open and our lock: then it locks nothing.
                current = path.exists() and path.samefile(f"/proc/self/fd/{file.fileno()}")
            except BlockingIOError:
                current = False
            if not current:
                raise RehearsalError(f"another command is just changing stack '{self.stack}': try again later")
            try:
                yield
            finally:
                if not self.paths.directory.exists():
                    path.unlink(missing_ok=True)

    def start(self, options: Options, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start it in a session of its own and wait until it answers. Raises RehearsalError with its last words.

        `meanwhile` is called before the waiting: it takes a second or two to be there.
        """
        directory = self.paths.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, json.dumps(asdict(options))],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (directory / "supervisor.pid").write_text(str(process.pid))
        meanwhile()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace").strip().splitlines()
                self.end()
                reason = said[-1].split(": ", 1)[-1] if said else "it said nothing"
                raise RehearsalError(f"the supervisor did not start: {reason}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.running
        except RehearsalError:
            return False  # it is there and slow; the deadline decides

    def end(self) -> None:
        """End it and remove everything of the stack from this machine, whatever state it is in."""
        pid = self._pid()
        with contextlib.suppress(RehearsalError):
            self.ask("end", timeout=10)
        if pid is not None:
            self._wait(pid)
        cleanup(self.stack)

    def _pid(self) -> int | None:
        """The supervisor's process, if the one that was written down is (still) it."""
        try:
            pid = int((self.paths.directory / "supervisor.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        ours = MODULE.encode() in words and any(f'"stack": "{self.stack}"'.encode() in word for word in words)
        return pid if ours else None

    def _wait(self, pid: int) -> None:
        deadline = time.monotonic() + END_TIMEOUT
        asked = False
        while self._pid() == pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # it is our child when `up` ends it
            if not asked:
                # Where it does not answer on its socket, a signal ends it as well.
                os.kill(pid, signal.SIGTERM)
                asked = True
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += END_TIMEOUT
            time.sleep(0.05)
