"""What breaks on real hosts is told through Prometheus, Alertmanager and SNS, and so is its end; nothing else is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.notifications import Notification, Notifications
from userdata.haproxy.files import CERTIFICATE
from userdata.prometheus.alerts import ALERTS, WATCHDOG

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

# Seconds. A critical alert must leave within two minutes of what broke; on a busy machine things also break slowly.
TOLD_WITHIN = 180
# What is mended may first have to start and to join again.
CLEARED_WITHIN = 300
SILENCE = 15 * 60
ALERT = {alert.name: alert for alert in ALERTS}


@dataclass(frozen=True)
class Break:
    """How to break something so that `alert` fires, and how to mend it. Both are given the stack."""

    alert: str
    broken: Callable[[Stack], object]
    mended: Callable[[Stack], object]


def kill_mysqld(stack: Stack, *, members: int) -> None:
    for server in stack.replicas()[:members]:
        stack.exec(server, "systemctl", "mask", "--runtime", "mysql.service")
        stack.exec(server, "systemctl", "kill", "--signal=KILL", "mysql.service")


def start_mysqld(stack: Stack) -> None:
    for server in stack.databases:
        stack.exec(server, "systemctl", "unmask", "--runtime", "mysql.service")
        stack.exec(server, "systemctl", "start", "mysql.service", timeout=180)


def open_a_replica(stack: Stack) -> None:
    """By hand, out of its group: /writer says no, and root may write all the same."""
    (server, *_) = stack.replicas()
    stack.exec(server, "systemctl", "stop", "tripod-group.service")
    stack.exec(server, "mysql", "--execute", "STOP GROUP_REPLICATION; SET GLOBAL super_read_only = OFF", timeout=120)


def close_replicas(stack: Stack) -> None:
    for server in stack.databases:
        if stack.exec(server, "systemctl", "is-active", "tripod-group.service", check=False).exit_code != 0:
            stack.query(server, "SET GLOBAL super_read_only = ON")
            stack.exec(server, "systemctl", "start", "tripod-group.service")


def on_application(*command: str) -> Callable[[Stack], object]:
    """On the last application server, which is no load balancer where there are several servers."""
    return lambda stack: stack.exec(stack.topology.apps[-1].name, *command)


def on_balancers(*commands: str) -> Callable[[Stack], object]:
    return lambda stack: [
        stack.exec(server.name, "sh", "-ec", command, timeout=120)
        for server in stack.topology.load_balancers
        for command in commands
    ]


STOP_HAPROXY = on_balancers("systemctl mask --runtime --now haproxy.service")
START_HAPROXY = on_balancers("systemctl unmask --runtime haproxy.service; systemctl start haproxy.service")
FULL = "/var/lib/tripod/full"
LEAVE_A_TWENTIETH = (
    "df --output=avail,size -B1 /var/lib/tripod | tail -n 1 |"
    f" (read free size; fallocate -l $((free - size / 20)) {FULL})"
)
KEPT = f"{CERTIFICATE}.kept"
EXPIRING = (
    f"cp -p {CERTIFICATE} {KEPT}; openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=x -keyout /dev/null"
    f" -out /run/expiring.pem 2>/dev/null; cat /run/expiring.pem > {CERTIFICATE}"
)

APPLICATION = Break(
    "ApplicationServerDown",
    on_application("systemctl", "stop", "tripod-app.service"),
    on_application("systemctl", "start", "tripod-app.service"),
)
BREAKS = (
    Break("SiteDown", STOP_HAPROXY, START_HAPROXY),
    Break("LoadBalancerDown", STOP_HAPROXY, START_HAPROXY),
    Break("GroupMemberDown", partial(kill_mysqld, members=1), start_mysqld),
    Break("NoMajority", partial(kill_mysqld, members=2), start_mysqld),
    Break("NoPrimary", partial(kill_mysqld, members=2), start_mysqld),
    Break("TwoWriters", open_a_replica, close_replicas),
    Break(
        "HostDown",
        lambda s: s.power("kill", s.topology.apps[-1].name),
        lambda s: s.power("start", s.topology.apps[-1].name),
    ),
    Break(
        "DataVolumeNearlyFull",
        lambda s: s.exec(s.replicas()[0], "sh", "-ec", LEAVE_A_TWENTIETH),
        lambda s: [s.exec(server, "rm", "-f", FULL) for server in s.databases],
    ),
    Break("CertificateExpiring", on_balancers(EXPIRING), on_balancers(f"mv {KEPT} {CERTIFICATE}")),
)


def told(stack: Stack, status: str, alert: str, since: float) -> Notification | None:
    """The first message of this status about this alert after `since` (CLOCK_MONOTONIC)."""
    beginning = f"{status}: {alert} "
    found = Notifications(stack.daemon.paths.directory).read()
    return next((one for one in found if one.monotonic >= since and one.subject.startswith(beginning)), None)


def wait_told(stack: Stack, status: str, alert: str, since: float, within: float) -> float:
    """Wait for the message, and return how many seconds after `since` it came."""
    message = wait_until(
        f"a message {status} about {alert}",
        lambda: told(stack, status, alert, since),
        timeout=within,
        pause=0.5,
        details=lambda: stack.journals([server.name for server in stack.topology.monitors]),
    )
    assert ALERT[alert].runbook in message.message
    assert message.attributes["severity"] == ALERT[alert].severity
    return message.monotonic - since


@pytest.fixture
def whole(reference: Stack) -> Iterator[Stack]:
    """The reference stack, and whole again afterwards."""
    reference.wait_healthy()
    yield reference
    reference.wait_healthy()


def provoke(stack: Stack, one: Break) -> tuple[float, float]:
    """Break and mend; seconds from the one and from the other to the messages."""
    began = time.monotonic()
    try:
        one.broken(stack)
        fired = wait_told(stack, "FIRING", one.alert, began, TOLD_WITHIN)
    finally:
        mending = time.monotonic()
        one.mended(stack)
    return fired, wait_told(stack, "RESOLVED", one.alert, mending, CLEARED_WITHIN)


def test_a_lost_application_server_is_told_and_its_end_too(whole: Stack) -> None:
    fired, _ = provoke(whole, APPLICATION)
    # Not before it held for so long: a restart must not wake anybody.
    assert fired >= ALERT["ApplicationServerDown"].hold_seconds


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.alert)
def test_critical_alerts_fire_and_clear(whole: Stack, one: Break, capsys: pytest.CaptureFixture[str]) -> None:
    assert ALERT[one.alert].severity == "critical"
    fired, cleared = provoke(whole, one)
    with capsys.disabled():
        print(f"\n{one.alert}: told after {fired:.1f} s, cleared after {cleared:.1f} s")


def test_a_healthy_stack_is_silent(whole: Stack) -> None:
    notifications = Notifications(whole.daemon.paths.directory)
    before = len(notifications.read())
    ends = time.monotonic() + SILENCE
    wait_until(
        f"{SILENCE} s without a message",
        lambda: time.monotonic() >= ends or len(notifications.read()) > before,
        timeout=SILENCE + 60,
        pause=1,
    )
    assert [one.subject for one in notifications.read()[before:]] == []
    # Silence of those who could speak: the rules are evaluated and Alertmanager has what always fires.
    for server in whole.topology.monitors:
        query = f"http://{server.address}:9093/api/v2/alerts?filter=alertname%3D%22{WATCHDOG}%22"
        assert WATCHDOG in whole.exec(server.name, "curl", "--silent", "--fail", query).stdout
