"""Three load balancers behind a Network Load Balancer: all serve, all know the client, and any may leave.

One stack serves all scenarios; each leaves it whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehearsal import namespace
from rehearsal.drills.record import Request
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import Watch, watching
from rehearsal.shell import run
from tests.rehearsal.scraped import wait_for_targets
from tests.rehearsal.stack import client, rehearsal, running
from topology.draining import NLB_CHECK_COUNT, NLB_CHECK_INTERVAL, NLB_CHECK_TIMEOUT, drain_seconds
from topology.names import Edge
from topology.ports import HAPROXY_HEALTH, HTTP, HTTPS

pytestmark = pytest.mark.rehearsal

SETTINGS = "config:\n  aws:region: us-east-1\n  tripod:preset: active-active\n"
CLIENT = "198.51.100.142"
PACE = 0.1
PATIENCE = 5.0
"""Whether a request fails is what counts here, on a busy machine, too; not how long it takes."""
DRAIN = drain_seconds(Edge.NLB)
STOPPED_WITHIN = DRAIN + 10
"""Seconds of a planned stop of HAProxy: its drain, and what a busy machine adds."""
TAKEN_OUT = NLB_CHECK_INTERVAL * NLB_CHECK_COUNT + NLB_CHECK_TIMEOUT + 2
"""Seconds until every node has taken a lost target out: its checks, and two for a busy machine."""
WITHOUT_DRAIN = "[Service]\nExecStop=\n"
DROP_IN = "/run/systemd/system/haproxy.service.d/zz-control.conf"


@pytest.fixture(scope="module")
def project_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("active")


@pytest.fixture(scope="module")
def stack(project_directory: Path) -> Iterator[Stack]:
    with running(project_directory, "test", SETTINGS) as found:
        yield found


def logged(stack: Stack, server: str, unit: str) -> list[dict[str, object]]:
    """Lines of JSON that a unit wrote about requests, those of `operations verify` left out."""
    said = stack.exec(server, "journalctl", f"--unit={unit}", "--output=cat", "--lines=2000").stdout
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [row for row in rows if row.get("agent") != "tripod-verify"]


def fetch(stack: Stack, address: str) -> None:
    words = ["ip", "netns", "exec", stack.world, "curl", "--silent", "--show-error", "--fail", "--max-time", "10"]
    words += ["--interface", CLIENT, "--cacert", stack.ca_file, "--connect-to", f"::{address}:{HTTPS}"]
    run([*words, "--output", "/dev/null", f"https://{stack.site_name()}/"])


def failed(rows: list[Request]) -> list[Request]:
    return [row for row in rows if not row.ok]


def seen_while(
    stack: Stack, directory: Path, act: Callable[[Watch], None], mend: Callable[[], None] = lambda: None
) -> list[Request]:
    """What a steady client saw from the beginning of an act until a moment after it."""
    with watching(stack, directory, pace=PACE, patience=PATIENCE) as watch:
        since = time.monotonic()
        try:
            act(watch)
            watch.observe(3)
            until = time.monotonic()
        finally:
            mend()
    rows = [row for row in watch.requests() if since <= row.start <= until]
    assert {row.kind for row in rows} == {"read", "write"}
    return rows


def in_service(stack: Stack) -> bool:
    """Whether the nodes send requests to every target. A load balancer is back only some checks after its start."""
    load_balancing = client(stack, "elbv2")
    groups = [group["TargetGroupArn"] for group in load_balancing.describe_target_groups()["TargetGroups"]]
    seen = [load_balancing.describe_target_health(TargetGroupArn=group) for group in groups]
    states = [one["TargetHealth"]["State"] for health in seen for one in health["TargetHealthDescriptions"]]
    return bool(states) and set(states) == {"healthy"}


def spare(stack: Stack) -> str:
    """A server that serves and is not the database's primary: what is measured here is the way in."""
    wait_until("every target in service", lambda: in_service(stack), timeout=120, pause=1, details=stack.journals)
    return stack.replicas()[-1]


def stop_haproxy(stack: Stack, server: str) -> float:
    """Seconds that a planned stop took."""
    began = time.monotonic()
    stack.exec(server, "systemctl", "stop", "haproxy.service", timeout=90)
    result = stack.exec(server, "systemctl", "show", "--property=Result", "--value", "haproxy.service").stdout.strip()
    assert result == "success", result
    return time.monotonic() - began


def start_haproxy(stack: Stack, server: str) -> None:
    stack.exec(server, "systemctl", "start", "haproxy.service")


def test_monitoring_gets_metrics_from_every_server(stack: Stack) -> None:
    wait_for_targets(stack)


def test_every_load_balancer_serves_and_the_client_is_known_to_the_end(stack: Stack) -> None:
    names = [server.name for server in stack.topology.load_balancers]

    def known(unit: str, name: str) -> bool:
        return any(row.get("client") == CLIENT for row in logged(stack, name, unit))

    def all_asked() -> bool:
        for address in stack.addresses():
            fetch(stack, address)
        return all(known(unit, name) for unit in ("haproxy.service", "tripod-app.service") for name in names)

    wait_until("a request through each load balancer and application", all_asked, timeout=60)


def test_the_world_does_not_reach_a_load_balancer_directly(stack: Stack) -> None:
    for server in stack.topology.load_balancers:
        for port in (HTTP, HTTPS, HAPROXY_HEALTH):
            with pytest.raises(TimeoutError):
                namespace.connect(stack.world, str(server.address), port, timeout=1)


def test_every_flow_is_as_the_table_says(stack: Stack, project_directory: Path) -> None:
    done = rehearsal("flows", "--stack", stack.name, "--project", str(project_directory), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_planned_stop_of_haproxy_fails_no_request(stack: Stack, tmp_path: Path) -> None:
    leaving = spare(stack)
    took: list[float] = []
    rows = seen_while(
        stack,
        tmp_path,
        lambda _: took.append(stop_haproxy(stack, leaving)),
        lambda: start_haproxy(stack, leaving),
    )
    assert failed(rows) == []
    assert DRAIN <= took[0] <= STOPPED_WITHIN


def hold(stack: Stack, address: str, version: str, count: int, rate: str) -> list[tuple[str, int]]:
    """Ask one node again and again over a kept connection; (status, new connections) of each request."""
    words = ["ip", "netns", "exec", stack.world, "curl", "--silent", "--max-time", "10", f"--{version}", "--rate", rate]
    words += ["--cacert", stack.ca_file, "--connect-to", f"::{address}:{HTTPS}"]
    words += ["--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}\\n"]
    done = run([*words, f"https://{stack.site_name()}/?n=[1-{count}]"], timeout=120, check=False)
    return [(status, int(connects)) for status, connects in (line.split() for line in done.stdout.splitlines())]


def connections(stack: Stack) -> list[str]:
    """The established connections of the world's clients to the site, one line of ss(8) each."""
    ss = ["ip", "netns", "exec", stack.world, "ss", "-Htn", "state", "established", f"( dport = :{HTTPS} )"]
    return run(ss).stdout.splitlines()


@pytest.mark.drill
@pytest.mark.parametrize("version", ["http1.1", "http2"])
def test_kept_connections_leave_a_load_balancer_that_drains(stack: Stack, version: str) -> None:
    leaving = spare(stack)
    # As many as leave no doubt that one is at the load balancer that leaves: the others would be 1 in 17,000.
    clients, count, rate = 24, 100, "4/s"
    with ThreadPoolExecutor(clients) as pool:
        kept = [pool.submit(hold, stack, stack.addresses()[n % 3], version, count, rate) for n in range(clients)]
        wait_until("every client is connected", lambda: len(connections(stack)) >= clients, timeout=30)
        try:
            stop_haproxy(stack, leaving)
            asked = [one.result() for one in kept]
        finally:
            start_haproxy(stack, leaving)
    stack.wait_healthy()
    assert all(len(one) == count for one in asked)
    assert {status for one in asked for status, _ in one} == {"200"}
    opened = [sum(connects for _, connects in one) for one in asked]
    assert min(opened) == 1, "a connection to a load balancer that stays is kept"
    assert max(opened) > 1, "nobody was at the one that left: too few clients"


@pytest.mark.drill
def test_without_a_drain_a_planned_stop_fails_requests(stack: Stack, tmp_path: Path) -> None:
    """Negative control of the scenario above."""
    leaving = spare(stack)
    write = f"mkdir -p {Path(DROP_IN).parent} && printf '{WITHOUT_DRAIN}' > {DROP_IN} && systemctl daemon-reload"

    def mend() -> None:
        stack.exec(leaving, "sh", "-c", f"rm {DROP_IN} && systemctl daemon-reload && systemctl start haproxy.service")

    stack.exec(leaving, "sh", "-c", write)
    rows = seen_while(stack, tmp_path, lambda _: stop_haproxy(stack, leaving) and None, mend)
    assert failed(rows)


@pytest.mark.drill
def test_a_planned_stop_of_an_application_server_fails_no_read(stack: Stack, tmp_path: Path) -> None:
    leaving = spare(stack)
    rows = seen_while(
        stack,
        tmp_path,
        lambda _: stack.exec(leaving, "systemctl", "stop", "tripod-app.service", timeout=60) and None,
        lambda: stack.exec(leaving, "systemctl", "start", "tripod-app.service") and None,
    )
    assert failed([row for row in rows if row.kind == "read"]) == []


@pytest.mark.drill
def test_a_planned_stop_of_a_whole_host_fails_no_read(stack: Stack, tmp_path: Path) -> None:
    leaving = spare(stack)
    rows = seen_while(
        stack,
        tmp_path,
        lambda _: stack.power("stop", leaving),
        lambda: stack.power("start", leaving),
    )
    assert failed([row for row in rows if row.kind == "read"]) == []


@pytest.mark.drill
def test_a_lost_load_balancer_costs_its_share_until_it_is_taken_out(stack: Stack, tmp_path: Path) -> None:
    leaving = spare(stack)

    def lose(watch: Watch) -> None:
        stack.power("kill", leaving)
        watch.observe(25)

    rows = seen_while(stack, tmp_path, lose, lambda: stack.power("start", leaving))
    reads = [row for row in rows if row.kind == "read"]
    lost = failed(reads)
    assert lost
    assert max(row.start for row in lost) - min(row.start for row in lost) < TAKEN_OUT
    assert len(failed([row for row in reads if row.start > reads[-1].start - 8])) == 0
