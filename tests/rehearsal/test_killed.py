"""kill -9 of `up` and of the supervisor: the next command of the same name works, and nothing stays on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehearsal.cleanup import leftovers
from rehearsal.daemon import ROOT, Daemon
from rehearsal.drills.waiting import wait_until
from tests.rehearsal.stack import REFERENCE, UP_TIMEOUT, free_port, project, rehearsal

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    found = Daemon(f"killed-{os.getpid()}")
    project(tmp_path, found.stack, REFERENCE)
    try:
        yield found
    finally:
        rehearsal("down", "--stack", found.stack, timeout=180)


def up(daemon: Daemon, directory: Path) -> list[str]:
    ports = [word for name in ("--port", "--http-port", "--page-port") for word in (name, str(free_port()))]
    return ["up", "--stack", daemon.stack, "--project", str(directory), *ports]


@contextmanager
def starting(daemon: Daemon, directory: Path, *options: str) -> Iterator[int]:
    """The process of an `up` whose hosts run and which is not at its end; killed at the latest afterwards."""
    command = [sys.executable, "-m", "rehearsal", *up(daemon, directory), *options]
    with (
        (directory / "up.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(
                "three hosts run",
                lambda: [one["state"] for one in daemon.ask("instances")["servers"]] == ["running"] * 3,
                timeout=UP_TIMEOUT,
                details=(directory / "up.log").read_text,
            )
            assert process.poll() is None
            yield process.pid
        finally:
            process.kill()


def kill_supervisor(daemon: Daemon) -> None:
    pid = daemon.ask("ping")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until("the supervisor is gone", lambda: ended(pid), timeout=30)
    assert leftovers(daemon.stack), "its hosts outlive it: that is what the next command must find"


def ended(pid: int) -> bool:
    """Whether a process is no more, or waits only for its parent to hear of its end (state Z, proc(5))."""
    status = read(Path(f"/proc/{pid}/stat"))
    return not status or status.rpartition(b")")[2].split()[0] == b"Z"


def assert_nothing_left(daemon: Daemon) -> None:
    assert leftovers(daemon.stack) == []
    assert not daemon.paths.directory.exists()
    assert own_processes(daemon) == []


def own_processes(daemon: Daemon) -> list[str]:
    """Processes that are called after one of the stack's hosts, or its supervisor."""
    names = (daemon.paths.object_name("").encode(), f'"stack": "{daemon.stack}"'.encode())
    found = {file.parent.name: read(file) for file in Path("/proc").glob("[0-9]*/cmdline")}
    return [pid for pid, words in found.items() if any(name in words for name in names)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile
        return b""


def test_an_up_that_was_killed_is_continued_by_the_next_one(daemon: Daemon, tmp_path: Path) -> None:
    with starting(daemon, tmp_path) as pid:
        os.kill(pid, signal.SIGKILL)
    done = rehearsal("up", "--stack", daemon.stack, "--project", str(tmp_path), timeout=UP_TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rehearsal("status", "--stack", daemon.stack).returncode == 0
    assert rehearsal("down", "--stack", daemon.stack, timeout=180).returncode == 0
    assert_nothing_left(daemon)


def test_hosts_whose_supervisor_was_killed_are_in_nobodys_way(daemon: Daemon, tmp_path: Path) -> None:
    with starting(daemon, tmp_path):
        kill_supervisor(daemon)
    status = rehearsal("status", "--stack", daemon.stack)
    assert status.returncode == 1
    assert "no rehearsal of stack" in status.stderr
    with starting(daemon, tmp_path):
        kill_supervisor(daemon)
    assert rehearsal("down", "--stack", daemon.stack, timeout=180).returncode == 0
    assert_nothing_left(daemon)


@pytest.fixture
def job() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_stack_ends_with_the_process_it_was_started_for(
    daemon: Daemon, tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    with starting(daemon, tmp_path, "--pid", str(job.pid)) as up_pid:
        os.kill(up_pid, signal.SIGKILL)
        assert daemon.running
        job.kill()
        wait_until("nothing of the stack is left", lambda: not daemon.paths.directory.exists(), timeout=120)
        wait_until("its supervisor has ended", lambda: not own_processes(daemon), timeout=30)
    assert_nothing_left(daemon)
