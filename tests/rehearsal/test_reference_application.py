"""The stack's own application (configuration key `application`) on the running reference stack, and back again."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import boto3
import pytest
import requests

from rehearsal.drills.stack import Stack
from tests.rehearsal.stack import REFERENCE, UP_TIMEOUT, rehearsal, status

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

BUCKET, KEY = "example-artifacts", "site-1.0.tar.gz"
APPLICATION_SERVERS = ("server-1", "server-2")
SERVER = """
import http.server, os
address, port = os.environ["TRIPOD_LISTEN"].rsplit(":", 1)
os.chdir("static")
http.server.ThreadingHTTPServer((address, int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
PAGE = "<!doctype html><title>Another</title><p>An application of the stack's own"


@cache
def artifact() -> bytes:
    """A .tar.gz without entries for its directories, as `tar` of a list of files makes it; it holds its own date."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in {"serve.py": SERVER, "static/index.html": PAGE, "static/health": "ok\n"}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def settings(sha256: str) -> str:
    """The reference stack with its own application."""
    application = {
        "artifact": f"s3://{BUCKET}/{KEY}",
        "sha256": sha256,
        "start": "/usr/bin/python3 serve.py",
        "port": 9000,
        "health": "/health",
    }
    return f"{REFERENCE}  tripod:application: {json.dumps(application)}\n"


class Program:
    """The reference stack's program: its settings can be changed and brought to the running stack."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory

    def up(self, text: str) -> tuple[int, str]:
        """Exit code and output of `up` with these settings."""
        (self._directory / f"Pulumi.{self._stack.name}.yaml").write_text(text)
        done = rehearsal("up", "--stack", self._stack.name, "--project", str(self._directory), timeout=UP_TIMEOUT)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def program(reference: Stack, project_directory: Path) -> Iterator[Program]:
    found = Program(reference, project_directory)
    try:
        yield found
    finally:
        code, said = found.up(REFERENCE)
    assert code == 0, said
    reference.wait_healthy()


def processes(stack: Stack) -> list[str]:
    wanted = "Id,ActiveState,MainPID,NRestarts"
    units = ("haproxy.service", "mysql.service", "tripod-app.service")
    return [stack.exec(name, "systemctl", "show", "-p", wanted, *units).stdout for name in APPLICATION_SERVERS]


def test_an_application_of_the_stacks_own_is_served_and_a_wrong_digest_is_refused(
    reference: Stack, site: str, program: Program
) -> None:
    found = status(reference)
    s3, iam = (
        boto3.client(service, endpoint_url=found["endpoint"], region_name=found["region"]) for service in ("s3", "iam")
    )
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": found["region"]})
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=artifact())

    before = processes(reference)
    code, said = program.up(settings("0" * 64))
    assert code == 1
    assert f"s3://{BUCKET}/{KEY} has digest" in said
    assert "Traceback" not in said
    assert processes(reference) == before
    assert "Guestbook" in requests.get(site, verify=reference.ca_file, timeout=10).text

    code, said = program.up(settings(hashlib.sha256(artifact()).hexdigest()))
    assert code == 0, said
    assert status(reference)["healthy"]
    for _ in APPLICATION_SERVERS:
        answer = requests.get(site, verify=reference.ca_file, timeout=10)
        assert (answer.status_code, answer.text) == (200, PAGE)
    for name in APPLICATION_SERVERS:
        assert reference.exec(name, "systemctl", "show", "-P", "User", "tripod-app.service").stdout == "tripod-app\n"
    readers = [role["RoleName"] for role in iam.list_roles()["Roles"] if may_read(iam, role["RoleName"])]
    assert len(readers) == len(APPLICATION_SERVERS), readers


def may_read(iam, role: str) -> bool:
    """Whether a role's policies name the artifact: the emulated AWS has them, but does not enforce them."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return any(
        statement["Action"] == "s3:GetObject" and statement["Resource"] == f"arn:aws:s3:::{BUCKET}/{KEY}"
        for document in documents
        for statement in document["Statement"]
    )
