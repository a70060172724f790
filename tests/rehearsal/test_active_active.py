"""Three load balancers behind a Network Load Balancer: all serve, all know the client, and one may leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal import namespace
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import Watch, watching
from tests.rehearsal.stack import running

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

SETTINGS = "config:\n  aws:region: us-east-1\n  tripod:preset: active-active\n"
CLIENT = "198.51.100.142"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("active"), "active", SETTINGS) as found:
        yield found


def logged(stack: Stack, server: str) -> list[dict[str, object]]:
    """Requests in HAProxy's log, checks of `verify` left out."""
    said = stack.exec(server, "journalctl", "--unit=haproxy", "--output=cat", "--lines=2000").stdout
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [row for row in rows if row.get("kind") == "request" and row.get("agent") != "tripod-verify"]


def fetch(stack: Stack, address: str) -> None:
    words = ["ip", "netns", "exec", stack.world, "curl", "--silent", "--show-error", "--fail", "--max-time", "10"]
    words += ["--interface", CLIENT, "--cacert", stack.ca_file, "--connect-to", f"::{address}:443"]
    from rehearsal.shell import run

    run([*words, "--output", "/dev/null", f"https://{stack.site_name()}/"])


def failed(watch: Watch, since: float) -> list[object]:
    return [row for row in watch.requests() if row.start >= since and not row.ok]


def test_every_load_balancer_serves_and_logs_the_client(stack: Stack) -> None:
    names = [server.name for server in stack.topology.load_balancers]

    def all_asked() -> bool:
        for address in stack.addresses():
            fetch(stack, address)
        return all(any(row["client"] == CLIENT for row in logged(stack, name)) for name in names)

    wait_until("a request through each", all_asked, timeout=60)


def test_the_world_does_not_reach_a_load_balancer_directly(stack: Stack) -> None:
    for server in stack.topology.load_balancers:
        with pytest.raises(TimeoutError):
            namespace.connect(stack.world, str(server.address), 443, timeout=1)


def test_a_planned_stop_of_a_load_balancer_fails_no_read(stack: Stack, tmp_path: Path) -> None:
    leaving = stack.replicas()[-1]
    with watching(stack, tmp_path, pace=0.1) as watch:
        since = watch.requests()[-1].start
        stack.power("stop", leaving)
        watch.observe(5)
        reads = [row for row in watch.requests() if row.start >= since and row.kind == "read"]
        stack.power("start", leaving)
    assert len(reads) > 50
    assert [row for row in reads if not row.ok] == []
    stack.wait_healthy()
