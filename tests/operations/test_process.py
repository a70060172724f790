"""The commands as processes of their own, where there is no AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.operations.conftest import REGION

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, as pulumi-command runs it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "operations", *arguments],
        cwd=ROOT,
        env={**kept, "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "stack,environment,said",
    [
        ("unheard-of", {}, "No AWS region is set"),
        ("unheard-of", {"AWS_REGION": REGION}, "No usable AWS credentials"),
        ("dev", {}, "No usable AWS credentials"),
    ],
)
def test_as_a_process_without_aws(stack, environment, said):
    done = run("status", "--stack", stack, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_names_every_command():
    done = run("--help")
    assert done.returncode == 0
    for command in ("verify", "status", "apply", "switchover", "explain", "flows", "shell"):
        assert f"  {command} " in done.stdout
