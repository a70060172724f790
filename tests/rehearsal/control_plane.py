"""What the tests of the control plane share: an emulated AWS on a loopback port, and programs run against it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from rehearsal import forward
from rehearsal.cloud import Cloud
from rehearsal.notification_patch import Tell

REGION = "eu-central-1"
ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import json, sys
from pathlib import Path
from rehearsal.program import run
from rehearsal.shell import RehearsalError
import pulumi
project, stack, endpoint, state = sys.argv[1:]
said = []
try:
    result = run(Path(project), stack, endpoint, Path(state), lambda event: None, said.append)
except (RehearsalError, pulumi.RunError) as error:
    print(json.dumps({"error": str(error), "said": said}))
else:
    counts = {step.value: count for step, count in result.counts.items()}
    print(json.dumps({"counts": counts, "outputs": result.outputs,
                      "secret": sorted(result.secret_outputs), "said": said}))
"""


class Commands:
    """What stands for the hosts: which instances answer, and which commands came."""

    def __init__(self) -> None:
        self.online: set[str] = set()
        self.started: list[Any] = []

    def managed(self, instance_id: str) -> bool:
        return instance_id in self.online

    def start(self, command: Any) -> None:
        self.started.append(command)


@dataclass
class Emulated:
    """A running emulated AWS."""

    cloud: Cloud
    endpoint: str
    commands: Commands
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=self.endpoint,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self.clients[service]

    def reset(self) -> None:
        """Forget everything: the next test begins."""
        self.cloud.reset()
        self.commands.online.clear()
        self.commands.started.clear()


@contextlib.contextmanager
def emulated(tell: Tell = lambda _: None) -> Iterator[Emulated]:
    """An emulated AWS with nothing in it; `tell` gets what is published to SNS."""
    commands = Commands()
    cloud = Cloud(REGION, managed=commands.managed, start_command=commands.start, tell=tell)
    listener = forward.listen(0)
    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cloud.serve(listener)
    try:
        yield Emulated(cloud, endpoint, commands)
    finally:
        cloud.close()


def evaluate(project: Path, stack: str, aws: Emulated, state: Path) -> dict[str, Any]:
    """Run a program in a process of its own (its modules stay loaded) and return what it did."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(project), stack, aws.endpoint, str(state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write_project(directory: Path, program: str, config: str = "config: {}\n") -> Path:
    """A small project with a stack `t`."""
    directory.mkdir(exist_ok=True)
    (directory / "Pulumi.yaml").write_text(
        "name: tripod\nruntime: python\nconfig:\n  greeting: {type: string, default: hello}\n"
    )
    (directory / "Pulumi.t.yaml").write_text(config)
    (directory / "__main__.py").write_text(program)
    return directory
