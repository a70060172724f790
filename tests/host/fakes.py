"""A server in a directory: its systemd, its checkers and its bucket, with the faults a test asks for."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import moto  # noqa: F401  before any client is made

from userdata.bundle import Bundle, File, Part, Secret, Unit
from userdata.host.apply import Apply
from userdata.host.identity import Identity
from userdata.host.system import Result, System

STACK, SERVER, BUCKET, REGION = "dev", "server-1", "tripod-dev-123456789012-eu-central-1", "eu-central-1"
ME = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"
CFG = "/etc/haproxy/haproxy.cfg"
CNF = "/etc/mysql/my.cnf"
KEY = "/etc/tripod/secrets/key"
PARAMETER = "/tripod/dev/secret"

Fault = Callable[[list[str]], Result | None]


@dataclass
class FakeUnit:
    """One unit of the fake systemd. `breaks_on` is a text in a file with which it dies after a restart."""

    active: str = "inactive"
    enabled: str = "disabled"
    restarts: int = 0
    load: str = "loaded"


@dataclass
class FakeMachine:
    """Answers commands as a server would; `log` keeps those that change something."""

    root: Path
    units: dict[str, FakeUnit] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    installed: set[str] = field(default_factory=set)
    journal: list[tuple[str, str]] = field(default_factory=list)
    time: float = 0.0

    @property
    def system(self) -> System:
        return System(
            root=self.root,
            run=self,
            clock=lambda: self.time,
            pause=self._pause,
            journal=lambda identifier, text: self.journal.append((identifier, text)),
        )

    def _pause(self, seconds: float) -> None:
        self.time += seconds

    def __call__(
        self, command: Sequence[str], *, timeout: float = 120.0, env: Mapping[str, str] | None = None
    ) -> Result:
        words = list(command)
        for fault in self.faults:
            result = fault(words)
            if result is not None:
                return result
        if words[:2] == ["systemctl", "show"]:
            return Result(0, "\n\n".join(self._show(name) for name in words[4:]))
        if words[0] == "systemctl":
            return self._systemctl(words[2:])
        if words[0] == "dpkg-query":
            return Result(0, "".join(f"{name} installed\n" for name in words[4:] if name in self.installed))
        if words[0] == "apt-get":
            self.log.append(" ".join(words))
            if "install" in words:
                self.installed |= set(words[words.index("--no-install-recommends") + 1 :])
        return Result(0)

    def _show(self, name: str) -> str:
        unit = self.units.get(name, FakeUnit(load="not-found"))
        return (
            f"Id={name}\nLoadState={unit.load}\nActiveState={unit.active}\nSubState=x\nNRestarts={unit.restarts}\n"
            f"UnitFileState={unit.enabled}\nConditionResult=yes\nConditionTimestampMonotonic=1"
        )

    def _systemctl(self, words: list[str]) -> Result:
        self.log.append(" ".join(words))
        verb, names = words[0], [word for word in words[1:] if not word.startswith("-")]
        for name in names:
            unit = self.units.setdefault(name, FakeUnit())
            if verb in ("start", "restart"):
                unit.active = "active"
            if verb == "reload" and unit.active != "active":
                return Result(1, f"{name} is not active, cannot reload.")
            if verb == "enable":
                unit.enabled = "enabled"
            if verb == "disable":
                unit.enabled, unit.active = "disabled", "inactive"
        return Result(0)


def fails(*prefix: str, output: str = "it failed", when: Callable[[], bool] = lambda: True) -> Fault:
    """A fault: commands that begin with `prefix` fail with `output` while `when` holds."""

    def fault(words: list[str]) -> Result | None:
        return Result(1, output) if words[: len(prefix)] == list(prefix) and when() else None

    return fault


def make(haproxy: str = "global\n", mysql: str = "[mysqld]\n", extra: Sequence[File] = (), **fields: Any) -> Bundle:
    """A small bundle with a reloaded and a restarted unit, each with a check, and a secret."""
    files = (File(CFG, haproxy, owner=ME), File(CNF, mysql, "0640", ME), *extra)
    part = Part(
        files=files,
        secrets=(Secret(KEY, PARAMETER, "0400", ME),),
        units=(
            Unit("haproxy.service", ("/etc/haproxy/",), ("haproxy", "-c", "-f", "{root}" + CFG), "reload"),
            Unit("mysql.service", (CNF, KEY), ("mysqld", "--defaults-file={root}" + CNF, "--validate-config")),
        ),
        packages=("haproxy",),
    )
    return Bundle.of(STACK, SERVER, [part], **fields)


def upload(s3: Any, bundle: Bundle, bucket: str = BUCKET) -> None:
    """What the components do: one object per file, then the manifest."""
    for file in bundle.files:
        s3.put_object(Bucket=bucket, Key=file.key(bundle.server), Body=file.content.encode())
    s3.put_object(Bucket=bucket, Key=f"servers/{bundle.server}/manifest.json", Body=bundle.manifest.encode())


@cache
def clients() -> tuple[Any, Any]:
    """One pair for all tests: making them is what takes time. moto sees to clients made after its import."""
    return boto3.client("s3", region_name=REGION), boto3.client("ssm", region_name=REGION)


@dataclass
class Site:
    """A fake server with its emulated AWS; `apply()` is what an operator runs."""

    machine: FakeMachine
    s3: Any
    ssm: Any
    identity: Identity = field(default_factory=lambda: Identity(STACK, SERVER, BUCKET, REGION))

    @classmethod
    def create(cls, root: Path) -> Site:
        """Needs moto's mock to be active."""
        s3, ssm = clients()
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        ssm.put_parameter(Name=PARAMETER, Value="hush", Type="SecureString")
        machine = FakeMachine(root, installed={"haproxy"})
        machine.units = {name: FakeUnit() for name in ("haproxy.service", "mysql.service")}
        return cls(machine, s3, ssm)

    def apply(self, **fields: Any) -> Any:
        return Apply(self.machine.system, self.identity, self.s3, self.ssm, **fields).run()

    def tree(self) -> dict[str, tuple[str, int]]:
        """Every file below /etc and /opt: its text and its mode."""
        found = {}
        for top in ("etc", "opt"):
            for file in sorted((self.machine.root / top).rglob("*")):
                if file.is_file():
                    found[f"/{file.relative_to(self.machine.root)}"] = (file.read_text(), file.stat().st_mode & 0o7777)
        return found

    def state(self) -> dict[str, Any]:
        value = self.ssm.get_parameter(Name=self.identity.state_parameter)["Parameter"]["Value"]
        result: dict[str, Any] = json.loads(value)
        return result
