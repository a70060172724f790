"""What tests of backup and restore share: the operators' commands, and a look into the backup bucket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rehearsal.daemon import ROOT
from rehearsal.drills.stack import Stack
from tests.rehearsal.stack import client, status
from topology import names

ACCOUNT = "123456789012"


def operations(stack: Stack, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command of an operator."""
    command = [sys.executable, "-m", "operations", *words, "--stack", stack.name]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(stack), capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def under_way(stack: Stack, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a command of an operator, who goes away at the end."""
    command = [sys.executable, "-m", "operations", *words, "--stack", stack.name]
    with subprocess.Popen(command, cwd=ROOT, env=_environment(stack), stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _environment(stack: Stack) -> dict[str, str]:
    found = status(stack)
    return {
        "PATH": "/usr/bin:/bin",
        "AWS_ENDPOINT_URL": found["endpoint"],
        "AWS_REGION": found["region"],
        "AWS_DEFAULT_REGION": found["region"],
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
    }


def text(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def bucket(stack: Stack) -> tuple[Any, str]:
    s3 = client(stack, "s3")
    return s3, names.backup_bucket(stack.name, ACCOUNT, s3.meta.region_name)


def objects(stack: Stack, prefix: str, suffix: str) -> list[str]:
    s3, name = bucket(stack)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [key for key in keys if key.endswith(suffix)]


def history(stack: Stack) -> str:
    """Prefix of what the database ships now; a restore of the stack itself begins another one."""
    numbers = {key.split("/")[1] for key in objects(stack, "data/", ".json")} - {"claims"}
    return f"data/{max(numbers)}"
