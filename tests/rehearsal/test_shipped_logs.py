"""Logs of real hosts arrive in the emulated CloudWatch Logs, at least once, whatever happens on the way."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from rehearsal.confinement import confined, warning
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from tests.rehearsal.shipped_logs import ShippedLogs
from topology.names import Account, Log

pytestmark = pytest.mark.rehearsal

# Seconds in which a line must arrive; one or two on a machine that has time.
ARRIVAL = 60
LINES = 4000
SERVERS = ("server-1", "server-2", "server-3")
UNIT = "/etc/systemd/system/tripod-logs.service"
CONFIGURATION = "/etc/rsyslog.d/tripod/cloudwatch.conf"

Disaster = Callable[[Stack, str, str], None]


@pytest.fixture
def shipped(reference: Stack) -> ShippedLogs:
    if "rsyslogd" in confined():
        pytest.skip(warning(("rsyslogd",)))
    return ShippedLogs(reference)


def journal(stack: Stack, server: str) -> str:
    return stack.exec(server, "journalctl", "-u", "tripod-logs", "-n", "40", "--no-pager").stdout


def test_each_log_arrives_and_no_secret_is_in_it(reference: Stack, site: str, shipped: ShippedLogs) -> None:
    path, channel = f"/{secrets.token_hex(8)}", f"c{secrets.token_hex(8)}"
    requests.get(f"{site}{path}", verify=reference.ca_file, timeout=10)
    primary = reference.primary()
    # MySQL always logs this; nothing follows from a channel that is not started.
    reference.query(primary, f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='192.0.2.1' FOR CHANNEL '{channel}'")
    reference.query(primary, f"RESET REPLICA ALL FOR CHANNEL '{channel}'")

    def arrived() -> bool:
        return (
            any(path in message for message in shipped.messages(Log.HAPROXY, "server-1"))
            and any(channel in message for message in shipped.messages(Log.MYSQL, primary))
            and all(shipped.messages(Log.AUDIT, server) for server in SERVERS)
        )

    wait_until("the lines", arrived, timeout=ARRIVAL, pause=1, details=lambda: journal(reference, "server-1"))
    (line,) = [message for message in shipped.messages(Log.HAPROXY, "server-1") if path in message]
    assert json.loads(line)["path"] == path
    first = json.loads(shipped.messages(Log.AUDIT, "server-1")[0])
    assert (first["server"], first["by"], first["ok"]) == ("server-1", "boot", True)
    assert CONFIGURATION in first["paths"]

    known = shipped.secrets()
    assert len(known) >= len(SERVERS) + len(Account)
    text = "\n".join(message for server in SERVERS for log in Log for message in shipped.messages(log, server))
    assert [secret[:4] for secret in known if secret in text] == []


@contextmanager
def out_of_reach(stack: Stack, server: str) -> Iterator[None]:
    """CloudWatch Logs (and nothing else) cannot be reached: what the service's user sends is dropped."""
    rules = (
        "table inet out { chain out { type filter hook output priority 0; "
        "meta skuid tripod-logs ip daddr != 127.0.0.0/8 drop; }; }"
    )
    stack.exec(server, "nft", rules)
    try:
        yield
    finally:
        stack.exec(server, "nft", "delete", "table", "inet", "out")


def say(stack: Stack, server: str, mark: str) -> None:
    stack.exec(server, "sh", "-c", f"seq 1 {LINES} | sed 's/^/{mark} /' | logger -t tripod-apply")


def stalled(stack: Stack, server: str) -> bool:
    return stack.exec(server, "test", "-e", "/run/tripod-logs/stalled", check=False).ok


def restart_and_kill_out_of_reach(stack: Stack, server: str, mark: str) -> None:
    with out_of_reach(stack, server):
        say(stack, server, mark)
        wait_until("the service notices", lambda: stalled(stack, server), timeout=ARRIVAL)
        stack.exec(server, "systemctl", "restart", "tripod-logs")
        wait_until("it notices again", lambda: stalled(stack, server), timeout=ARRIVAL)
        stack.exec(server, "systemctl", "kill", "--signal=SIGKILL", "tripod-logs")


def kill_the_shipper(stack: Stack, server: str, mark: str) -> None:
    kill = "for turn in 1 2 3 4 5 6; do sleep 0.4; pkill -KILL -u tripod-logs python3; done"
    stack.exec(server, "sh", "-c", f"seq 1 {LINES} | sed 's/^/{mark} /' | logger -t tripod-apply & {kill}; wait")


DISASTERS = {"out of reach, restarted and killed": restart_and_kill_out_of_reach, "shipper killed": kill_the_shipper}


@pytest.mark.drill
@pytest.mark.parametrize("disaster", DISASTERS.values(), ids=DISASTERS)
def test_nothing_is_lost(reference: Stack, shipped: ShippedLogs, disaster: Disaster) -> None:
    mark = f"kept-{secrets.token_hex(4)}"
    disaster(reference, "server-2", mark)
    wait_until(
        "every line",
        lambda: len(shipped.numbers(Log.AUDIT, "server-2", mark)) == LINES,
        timeout=2 * ARRIVAL,
        pause=2,
        details=lambda: journal(reference, "server-2"),
    )


CONTROLS = {
    "no confirmation": (f"sed -i /confirmMessages/d {CONFIGURATION}", kill_the_shipper),
    "no bound to what is in memory": (
        f"sed -i 's/queue.size=.*/queue.size=\"100000\"/' {CONFIGURATION}",
        restart_and_kill_out_of_reach,
    ),
    "no way back in the journal": (f"sed -i /log_cursor/d {UNIT}", restart_and_kill_out_of_reach),
}


@pytest.mark.drill
@pytest.mark.parametrize("without, disaster", CONTROLS.values(), ids=CONTROLS)
def test_lines_are_lost_without(reference: Stack, shipped: ShippedLogs, without: str, disaster: Disaster) -> None:
    """The negative control: the same disaster with one safety taken away."""
    mark, server = f"control-{secrets.token_hex(4)}", "server-2"
    again = "systemctl daemon-reload && systemctl restart tripod-logs"
    reference.exec(server, "sh", "-c", f"cp -p {CONFIGURATION} {UNIT} /root/ && {without} && {again}")
    last = f"{mark} {LINES + 1}"
    try:
        disaster(reference, server, mark)
        # Once a later line is there, what is missing was passed over.
        reference.exec(server, "logger", "-t", "tripod-apply", last)
        wait_until(
            "the later line",
            lambda: last in shipped.messages(Log.AUDIT, server),
            timeout=2 * ARRIVAL,
            pause=2,
            details=lambda: journal(reference, server),
        )
        arrived = len(shipped.numbers(Log.AUDIT, server, mark))
    finally:
        back = f"cp -p /root/cloudwatch.conf {CONFIGURATION} && cp -p /root/tripod-logs.service {UNIT} && {again}"
        reference.exec(server, "sh", "-c", back)
    assert arrived < LINES
