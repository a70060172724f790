"""A crash of HAProxy is short: the application beside it, which stops with it, does not stop for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until

pytestmark = pytest.mark.rehearsal

HAPROXY, APP = "haproxy.service", "tripod-app.service"
TIED = "/run/systemd/system/haproxy.service.d/zz-test.conf"


def main_pid(stack: Stack, server: str, unit: str) -> int:
    return int(stack.exec(server, "systemctl", "show", "--property=MainPID", "--value", unit).stdout)


def crash(stack: Stack, server: str) -> None:
    """Kill HAProxy and wait until systemd has started it again."""
    before = main_pid(stack, server, HAPROXY)
    stack.exec(server, "systemctl", "kill", "--signal=SIGKILL", HAPROXY)
    wait_until(
        "HAProxy is back",
        lambda: (
            main_pid(stack, server, HAPROXY) not in (0, before)
            and stack.exec(server, "systemctl", "is-active", HAPROXY, check=False).stdout.strip() == "active"
        ),
        timeout=30,
        details=stack.journals,
    )


@pytest.fixture
def balancer(reference: Stack) -> Iterator[str]:
    """A load balancer with an application, and the stack whole again afterwards."""
    server = reference.topology.load_balancers[0].name
    yield server
    reference.exec(server, "rm", "-f", TIED)
    reference.exec(server, "systemctl", "daemon-reload")
    reference.wait_healthy()


def test_the_application_lives_through_a_crash_of_haproxy(reference: Stack, balancer: str) -> None:
    before = main_pid(reference, balancer, APP)
    crash(reference, balancer)
    assert main_pid(reference, balancer, APP) == before


def test_a_planned_stop_stops_it_and_a_start_brings_it_back(reference: Stack, balancer: str) -> None:
    reference.exec(balancer, "systemctl", "stop", HAPROXY, timeout=60)
    try:
        assert main_pid(reference, balancer, APP) == 0
    finally:
        reference.exec(balancer, "systemctl", "start", HAPROXY)
    wait_until("the application is back", lambda: main_pid(reference, balancer, APP) != 0, timeout=30)


def test_after_a_restart_it_runs(reference: Stack, balancer: str) -> None:
    before = main_pid(reference, balancer, APP)
    reference.exec(balancer, "systemctl", "restart", HAPROXY, timeout=60)
    wait_until("another application process", lambda: main_pid(reference, balancer, APP) not in (0, before), timeout=30)


def test_tied_by_systemd_it_would_stop(reference: Stack, balancer: str) -> None:
    """The negative control: systemd takes a crash for a stop."""
    before = main_pid(reference, balancer, APP)
    text = f"printf '[Unit]\\nPropagatesStopTo={APP}\\n' > {TIED}"
    reference.exec(balancer, "sh", "-ec", f"mkdir -p $(dirname {TIED}); {text}; systemctl daemon-reload")
    crash(reference, balancer)
    wait_until("another application process", lambda: main_pid(reference, balancer, APP) not in (0, before), timeout=30)
