"""A whole stack for scenarios: the real program, under a name and in a directory of its own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from rehearsal.paths import STATE_ROOT
from rehearsal.up import read_topology

UP_TIMEOUT = 600
REFERENCE = "config:\n  aws:region: eu-central-1\n  tripod:preset: reference\n"

# Stacks of the tests are called after the process that made them: NAME-PID, or NAME-PID-NUMBER.
_OF_A_TEST = re.compile(r"(?:ref|killed|test|rst|grown|drill|drillref|drillnlb)-(?P<pid>\d+)(?:-\d+)?")
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
        ports = ("--port", str(free_port()), "--http-port", str(free_port()), "--page-port", str(free_port()))
        # A test run that is killed must leave nothing.
        tied = ("--pid", str(os.getpid()))
        done = rehearsal("up", "--stack", name, "--project", str(place), *ports, *tied, timeout=UP_TIMEOUT)
        assert done.returncode == 0, f"up ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        yield Stack(read_topology(place, name))
    finally:
        rehearsal("down", "--stack", name, timeout=180)


def is_stale(stack: str) -> bool:
    """Whether a stack belongs to a test run that is gone. Anything else than our own tests' names never is."""
    found = _OF_A_TEST.fullmatch(stack)
    return found is not None and not _is_pytest(int(found["pid"]))


def _is_pytest(pid: int) -> bool:
    try:
        return b"pytest" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def remove_stale(root: Path = STATE_ROOT) -> list[str]:
    """End the stacks of test runs that are gone, and return their names."""
    present = {entry.name.removesuffix(".lock") for entry in root.iterdir()} if root.is_dir() else set()
    stale = sorted(filter(is_stale, present))
    for name in stale:
        done = rehearsal("down", "--stack", name, timeout=180)
        assert done.returncode == 0, done.stderr
    return stale


def status(stack: Stack) -> dict[str, Any]:
    """What `status --json` prints."""
    done = rehearsal("status", "--stack", stack.name, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def client(stack: Stack, service: str) -> Any:
    """A boto3 client of a stack's emulated AWS, as somebody who may do everything."""
    found = status(stack)
    return boto3.client(
        service,
        endpoint_url=found["endpoint"],
        region_name=found["region"],
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",
    )
