"""What the tests of the data plane share: a stack of their own that is always removed, and a small metadata service."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rehearsal import cleanup, image
from rehearsal.firewall_rules import METADATA_ADDRESS, HostRules, Rule
from rehearsal.machine import Machine
from rehearsal.network import Fabric
from rehearsal.shell import run

ANYWHERE = ("0.0.0.0/0",)
OPEN = HostRules(ingress=(Rule("all", ANYWHERE),), egress=(Rule("all", ANYWHERE),))
NETWORK = "10.70.0.0/16"
_numbers = itertools.count(1)


@dataclass
class Stack:
    """A fabric and the hosts that a test makes on it."""

    fabric: Fabric
    root: Path

    @property
    def name(self) -> str:
        return self.fabric.paths.stack

    def machine(self, number: int, **options: object) -> Machine:
        return Machine(
            self.fabric,
            f"server-{number}",
            image=image.ensure(),
            address=f"10.70.{number}.10",
            subnet_cidr=f"10.70.{number}.0/24",
            **options,  # type: ignore[arg-type]
        )


@contextlib.contextmanager
def stack(root: Path) -> Iterator[Stack]:
    name = f"test-{os.getpid()}-{next(_numbers)}"
    fabric = Fabric(name, NETWORK, state_root=root)
    try:
        fabric.up()
        yield Stack(fabric, root)
    finally:
        cleanup.cleanup(name, state_root=root)


def traces(stack_name: str, root: Path) -> list[str]:
    """Every line about the stack in what this machine says of its namespaces, mounts, loop devices and groups."""
    everything = [
        *run(["ip", "netns", "list"]).stdout.splitlines(),
        *run(["ip", "-oneline", "link"]).stdout.splitlines(),
        *Path("/proc/self/mountinfo").read_text().splitlines(),
        *run(["losetup", "--list"]).stdout.splitlines(),
        # os.walk passes over groups that vanish while we look (other stacks' hosts come and go)
        *(directory for top in ("/sys/fs/cgroup", "/run/systemd") for directory, _, _ in os.walk(top)),
        *run(["ps", "-eo", "pid,args"]).stdout.splitlines(),
    ]
    return [line for line in everything if f"tripod-{stack_name}-" in line or f"{root}/{stack_name}" in line]


class Metadata(http.server.BaseHTTPRequestHandler):
    """As much of IMDSv2 as cloud-init asks for; every host gets the same user data."""

    user_data = ""

    def do_PUT(self) -> None:
        self._answer("token")

    def do_GET(self) -> None:
        host = self.client_address[0]
        answers = {
            "/meta-data/instance-id": f"i-{host.replace('.', '')}",
            "/meta-data/": "instance-id\nlocal-hostname\nlocal-ipv4",
            "/meta-data/local-hostname": f"ip-{host.replace('.', '-')}",
            "/meta-data/local-ipv4": host,
            "/user-data": self.user_data,
        }
        _, _, path = self.path.lstrip("/").partition("/")
        self._answer(answers.get(f"/{path}"))

    def _answer(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def metadata(fabric: Fabric, user_data: str) -> Iterator[None]:
    handler = type("Handler", (Metadata,), {"user_data": user_data})
    server = http.server.ThreadingHTTPServer((METADATA_ADDRESS, 80), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = fabric.listen("fabric", METADATA_ADDRESS, 80)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
