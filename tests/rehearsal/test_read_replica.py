"""A stack that grew: three members, then a read replica beyond the quorum, from configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.shell import RehearsalError
from tests.rehearsal.astray import WRITE
from tests.rehearsal.growth import first_servers, grow, lives
from tests.rehearsal.restoring import operations, text
from tests.rehearsal.scraped import wait_for_targets
from tests.rehearsal.stack import rehearsal, running, status

REPLICA = "server-4"

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grown")


@pytest.fixture(scope="module")
def small(place: Path) -> Iterator[Stack]:
    with running(place, "grown", first_servers("replicas", 3)) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack(small: Stack, place: Path) -> Stack:
    """The same stack after its file gained a server. No service of the other servers may notice."""
    before = lives(small)
    grown = grow(small, place, first_servers("replicas", 4))
    after = lives(grown)
    assert {name: after[name] for name in before} == before
    return grown


def post(stack: Stack, key: str) -> None:
    url = f"{status(stack)['url'].rstrip('/')}/api/entries"
    answer = requests.post(url, json={"text": "x", "key": key}, verify=stack.ca_file, timeout=20)
    assert answer.status_code == 201, answer.text


def has(stack: Stack, key: str) -> bool:
    try:
        return bool(stack.query(REPLICA, f"SELECT 1 FROM app.entries WHERE `key` = '{key}'"))
    except RehearsalError:  # while its mysqld starts
        return False


def wait_for(stack: Stack, key: str, timeout: float = 60) -> None:
    wait_until(f"{key} on {REPLICA}", lambda: has(stack, key), timeout=timeout, details=lambda: journal(stack))


def journal(stack: Stack) -> str:
    return stack.exec(REPLICA, "journalctl", "-u", "tripod-replica", "-u", "mysql", "-n", "40", "--no-pager").stdout


def source(stack: Stack) -> tuple[str, str]:
    """Which member it is connected to, and its receiver's state."""
    sql = (
        "SELECT host, service_state FROM performance_schema.replication_connection_configuration"
        " JOIN performance_schema.replication_connection_status USING (channel_name)"
        " WHERE channel_name = 'from_group'"
    )
    row = {name.lower(): value for name, value in stack.query(REPLICA, sql)[0].items()}
    return str(row["host"]), str(row["service_state"])


def wait_for_source(stack: Stack, member: str, timeout: float) -> None:
    wait_until(
        f"{REPLICA} follows {member}",
        lambda: source(stack) == (member, "ON"),
        timeout=timeout,
        details=lambda: journal(stack),
    )


def test_an_entry_is_read_from_the_replica_and_a_write_is_refused(stack: Stack) -> None:
    post(stack, "for-the-replica")
    wait_for(stack, "for-the-replica", 10)
    with pytest.raises(RehearsalError, match="super-read-only"):
        stack.query(REPLICA, WRITE)
    # Its first copy came from a replica: the primary has enough to do.
    donor = stack.query(REPLICA, "SELECT source FROM performance_schema.clone_status")[0]["source"]
    assert str(stack.topology.server(stack.primary()).address) not in donor


def test_monitoring_gets_metrics_from_every_server(stack: Stack) -> None:
    wait_for_targets(stack)


def test_haproxy_sends_it_reads_and_never_writes(stack: Stack) -> None:
    for path, expected in (("reader", "200"), ("writer", "503")):
        url = f"http://{stack.topology.server(REPLICA).address}:3380/{path}"
        assert stack.exec("server-1", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url).stdout == expected
    configuration = stack.exec("server-1", "cat", "/etc/haproxy/haproxy.cfg").stdout
    writer = configuration.split("listen database_writer")[1].split("listen ")[0]
    reader = configuration.split("listen database_reader")[1].split("\nlisten ")[0]
    assert f"server {REPLICA} " not in writer
    assert f"server {REPLICA} " in reader


def test_the_replica_follows_the_new_primary_by_itself(stack: Stack) -> None:
    old = stack.primary()
    wait_for_source(stack, old, 30)
    stack.exec(old, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=main", "mysql.service")
    wait_until("another primary", lambda: stack.primary() != old, timeout=60, details=stack.journals)
    wait_for_source(stack, stack.primary(), 60)
    said = stack.exec(REPLICA, "journalctl", "-u", "tripod-replica", "-n", "3", "--no-pager", "-o", "cat").stdout
    assert "follow: " not in said.splitlines()[-1], "MySQL did not find the new primary without tripod-replica"
    stack.wait_whole()
    post(stack, "after-the-failover")
    wait_for(stack, "after-the-failover", 20)


def test_after_a_power_cut_it_catches_up(stack: Stack) -> None:
    stack.power("kill", REPLICA)
    post(stack, "while-it-was-off")
    stack.power("start", REPLICA)
    wait_for(stack, "while-it-was-off", 120)
    stack.wait_healthy()


def test_with_an_empty_volume_it_is_cloned_again(stack: Stack) -> None:
    post(stack, "before-the-new-server")
    done = rehearsal("recreate", "--stack", stack.name, "--empty", REPLICA, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(stack, "before-the-new-server", 240)
    assert stack.query(REPLICA, "SELECT state FROM performance_schema.clone_status")[0]["state"] == "Completed"
    stack.wait_healthy()


def test_a_restore_of_the_stack_reaches_it(stack: Stack) -> None:
    """It holds more than what is restored, so it could follow nobody: it is emptied, and cloned."""
    made = operations(stack, "backup", "now")
    assert made.returncode == 0, text(made)
    post(stack, "to-be-kept")
    moment = datetime.now(UTC).isoformat()
    post(stack, "to-be-undone")
    wait_for(stack, "to-be-undone")
    done = operations(stack, "restore", "--to", moment, "--confirm", stack.name)
    assert done.returncode == 0, text(done)
    assert f"{REPLICA}, a read replica, starts empty" in done.stdout
    wait_for(stack, "to-be-kept", 240)
    assert not has(stack, "to-be-undone")
    wait_for_source(stack, stack.primary(), 60)
    stack.wait_healthy()


def test_without_super_read_only_it_diverges_and_is_refused(stack: Stack) -> None:
    """The negative control: with the setting off the write that is refused above is taken, and then it is out."""
    stack.exec(REPLICA, "systemctl", "stop", "tripod-replica.service")
    stack.query(REPLICA, "SET GLOBAL super_read_only = OFF")
    stack.query(REPLICA, WRITE)
    stack.exec(REPLICA, "systemctl", "start", "tripod-replica.service")
    wait_until("it is refused", lambda: "must not follow" in journal(stack), timeout=60)
    assert source(stack)[1] == "OFF"
    with pytest.raises(RehearsalError, match="super-read-only"):
        stack.query(REPLICA, WRITE)
    done = stack.exec(REPLICA, "tripod", "status", check=False)
    assert done.exit_code == 1
    assert "must not follow" in done.stdout
    # No program throws its data away: a person does.
    stack.exec(REPLICA, "systemctl", "stop", "tripod-replica.service", "mysql.service")
    stack.exec(REPLICA, "find", "/var/lib/mysql", "-mindepth", "1", "-delete")
    stack.exec(REPLICA, "systemctl", "start", "mysql.service", "tripod-replica.service")
    post(stack, "after-the-divergence")
    wait_for(stack, "after-the-divergence", 120)
    assert not has(stack, "astray")
