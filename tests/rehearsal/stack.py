"""A whole stack for scenarios: the real program, under a name and in a directory of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from rehearsal.up import read_topology

UP_TIMEOUT = 600
LOCAL = {".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def rehearsal(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command of the rehearsal as a user would."""
    command = [sys.executable, "-m", "rehearsal", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def project(directory: Path, name: str, settings: str) -> Path:
    """A project directory that is this repository with one more stack file."""
    for entry in ROOT.iterdir():
        if entry.name not in LOCAL:
            (directory / entry.name).symlink_to(entry)
    (directory / ".venv").symlink_to(ROOT / ".venv")
    (directory / f"Pulumi.{name}.yaml").write_text(settings)
    return directory


@contextmanager
def running(directory: Path, name: str, settings: str) -> Iterator[Stack]:
    """A stack that is up and verified; gone afterwards. A failed start shows what `up` said."""
    name = f"{name}-{os.getpid()}"
    place = project(directory, name, settings)
    try:
        ports = ("--port", str(free_port()), "--http-port", str(free_port()))
        done = rehearsal("up", "--stack", name, "--project", str(place), *ports, timeout=UP_TIMEOUT)
        assert done.returncode == 0, f"up ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        yield Stack(read_topology(place, name))
    finally:
        rehearsal("down", "--stack", name, timeout=180)


def status(stack: Stack) -> dict[str, Any]:
    """What `status --json` prints."""
    done = rehearsal("status", "--stack", stack.name, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
