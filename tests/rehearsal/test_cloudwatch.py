"""The second watcher on real hosts: a monitoring server goes off, CloudWatch tells of it, and tells when it is back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from rehearsal.alarms import MINUTE
from rehearsal.daemon import Daemon
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.notifications import Notification, Notifications
from tests.rehearsal.stack import REFERENCE, rehearsal, running
from topology import names

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

# Two periods with a failed check, and up to one more until the first of them begins; the rest is for a busy machine.
FIRING = 3 * MINUTE + 30
CLEARING = 2 * MINUTE + 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("cloudwatch"), "test", REFERENCE) as found:
        yield found


def told(stack: Stack, alarm: str, state: str, since: float) -> Notification | None:
    for one in Notifications(Daemon(stack.name).paths.directory).read():
        message = one.alarm
        if message and one.monotonic > since and (message["AlarmName"], message["NewStateValue"]) == (alarm, state):
            return one
    return None


def test_a_server_without_power_is_told_of_and_so_is_its_return(stack: Stack) -> None:
    (server,) = (one.name for one in stack.topology.monitors)
    alarm = names.alarm(stack.name, server, "instance")
    began = time.monotonic()
    wait_until(f"{alarm} is OK", lambda: told(stack, alarm, "OK", 0), timeout=CLEARING)
    off = time.monotonic()
    assert off > began
    stack.power("kill", server)
    fired = wait_until(f"{alarm} fires", lambda: told(stack, alarm, "ALARM", off), timeout=FIRING)
    assert MINUTE <= fired.monotonic - off <= FIRING
    assert fired.topic.endswith(f":{names.alerts_topic(stack.name)}")
    # The others are well, and nobody says otherwise.
    for other in (one.name for one in stack.topology.servers if one.name != server):
        assert told(stack, names.alarm(stack.name, other, "instance"), "ALARM", off) is None
    on = time.monotonic()
    stack.power("start", server)
    over = wait_until(f"{alarm} is over", lambda: told(stack, alarm, "OK", on), timeout=CLEARING)
    print(f"{alarm}: fired {fired.monotonic - off:.0f} s after the power went, over {over.monotonic - on:.0f} s after")
    shown = rehearsal("alerts", "--stack", stack.name, "--json").stdout.splitlines()
    assert {json.loads(line)["subject"] for line in shown} >= {fired.subject, over.subject}
    stack.wait_healthy(timeout=300)
