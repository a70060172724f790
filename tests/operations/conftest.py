"""A stack in emulated AWS, and servers that answer without running."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from moto import mock_aws

from operations.aws import Aws
from operations.command import CommandResult
from operations.errors import OperationError
from operations.fleet import Fleet, FleetServer
from topology.names import Role, bucket, manifest_key, server_state_parameter

REGION = "eu-central-1"
ACCOUNT = "123456789012"
# Of the images that moto comes with; listing them all takes seconds.
IMAGE = "ami-12c6146b"
REFERENCE = {
    "server-1": "load_balancer app database",
    "server-2": "app database",
    "server-3": "database monitoring",
}
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "TRIPOD_EXPECTED_DIGESTS", "TRIPOD_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def emulated() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def aws(emulated: None) -> Aws:
    return Aws()


def launch(stack: str, servers: dict[str, str], **tags: str) -> dict[str, str]:
    """Start one instance a server; instance ids by name."""
    ec2 = boto3.client("ec2", region_name=REGION)
    ids = {}
    for name, roles in servers.items():
        all_tags = {"tripod:stack": stack, "tripod:server": name, "tripod:roles": roles, **tags}
        ids[name] = ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in all_tags.items()]}
            ],
        )["Instances"][0]["InstanceId"]
    return ids


@pytest.fixture
def fleet() -> Fleet:
    """The reference stack as find_fleet would give it, without emulated instances, which are slow to make."""
    servers = tuple(
        FleetServer(
            name=name,
            instance_id=f"i-{number:017x}",
            roles=tuple(Role(role) for role in roles.split()),
            zone=f"{REGION}{zone}",
            address=f"10.20.0.{9 + number}",
            public_address="203.0.113.10" if "load_balancer" in roles else None,
            state="running",
        )
        for number, zone, (name, roles) in zip((1, 2, 3), "abc", REFERENCE.items(), strict=True)
    )
    return Fleet("dev", servers)


def put_state(server: str, stack: str = "dev", **changes: object) -> None:
    """Write the state that a server reports; by default: ready with the bundle OLD."""
    value = {"step": "ready", "ok": True, "digest": OLD, "error": None, "at": "2026-01-01T00:00:00+00:00", **changes}
    boto3.client("ssm", region_name=REGION).put_parameter(
        Name=server_state_parameter(stack, server), Value=json.dumps(value), Type="String", Overwrite=True
    )


def put_manifest(server: str, digest: str, stack: str = "dev") -> None:
    s3 = boto3.client("s3", region_name=REGION)
    name = bucket(stack, ACCOUNT, REGION)
    if name not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=name, Key=manifest_key(server), Body=json.dumps({"digest": digest}).encode())


@dataclass
class Host:
    """What one server would answer."""

    name: str
    digest: str | None = OLD
    error: str | None = None
    problems: list[str] = field(default_factory=list)
    role: str | None = None
    member_state: str | None = "ONLINE"
    writable: bool = False
    gtid_executed: str | None = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100"
    members: int | None = 3
    online: int | None = 3
    units: dict[str, str] = field(default_factory=lambda: {"haproxy.service": "active"})

    def status(self) -> dict[str, object]:
        database = None
        if self.role is not None:
            fields = ("role", "member_state", "writable", "gtid_executed", "members", "online")
            database = {name: getattr(self, name) for name in fields}
        return {
            "server": self.name,
            "digest": self.digest,
            "applied_at": None,
            "error": self.error,
            "units": self.units,
            "database": database,
            "healthy": not self.problems,
            "problems": self.problems,
        }


class Hosts:
    """The seam for commands: answers as three servers would, and remembers what was asked of them.

    `answers` maps a word of a command to what answers it (a result, an error to raise, or a function of the server).
    """

    def __init__(self, primary: str = "server-1") -> None:
        self.hosts = {
            name: Host(name, role="primary" if name == primary else "replica", writable=name == primary)
            for name in REFERENCE
        }
        self.commands: list[tuple[str, str]] = []
        self.answers: dict[str, CommandResult | OperationError | Callable[[FleetServer, str], CommandResult]] = {}
        self.on_apply: Callable[[Host, str], None] = self._take

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def run(self, server: FleetServer, script: str, timeout: float) -> CommandResult:
        assert timeout > 0
        self.commands.append((server.name, script))
        for word, answer in self.answers.items():
            if word in script or word == server.name:
                if isinstance(answer, OperationError):
                    raise answer
                return answer if isinstance(answer, CommandResult) else answer(server, script)
        host = self.hosts[server.name]
        if script == "tripod status --json":
            return CommandResult(server.name, int(bool(host.problems)), json.dumps(host.status()), "")
        if script == "tripod passwords":
            return CommandResult(server.name, 0, f"{server.name}: no password has changed", "")
        if script.startswith("tripod apply"):
            self.on_apply(host, script)
            return CommandResult(server.name, 0, f"{server.name}: applied", "")
        if script.startswith("journalctl"):
            return CommandResult(server.name, 0, f"2026-01-01 {server.name} mysqld: last words", "")
        if "site_check" in script or "Ask the site" in script:
            return CommandResult(server.name, 0, json.dumps({"status": 200, "error": None, "note": None}), "")
        raise AssertionError(f"unexpected command on {server.name}: {script[:80]}")

    def asked(self, start: str) -> list[tuple[str, str]]:
        """Commands that begin so, in order."""
        return [(name, script) for name, script in self.commands if script.startswith(start)]

    def _take(self, host: Host, script: str) -> None:
        words = script.split()
        host.digest = words[words.index("--expect") + 1] if "--expect" in words else host.digest


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds
        due = [action for when, action in self.at if when <= self.now]
        self.at = [(when, action) for when, action in self.at if when > self.now]
        for action in due:
            action()


@pytest.fixture
def clock() -> Clock:
    return Clock()
