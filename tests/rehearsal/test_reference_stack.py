"""The reference stack on real hosts: what visitors get, what the database promises, what it survives.

One stack serves all scenarios (conftest.py), these in their order: each leaves it whole.
"""

from __future__ import annotations

import socket
import ssl
import time
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from rehearsal.drills.judge import Limits
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import watching
from rehearsal.shell import RehearsalError
from tests.rehearsal.astray import begin_by_accident, kill_mysqld, let_it_write, make_anew, wait_refused, write_astray
from tests.rehearsal.drilling import verdict_of
from tests.rehearsal.scraped import wait_for_targets
from tests.rehearsal.stack import rehearsal, status
from userdata.base.files import SYSCTL

pytestmark = pytest.mark.rehearsal

# The issue allows ten seconds without writes; the group's own detection of a silent loss takes five of them.
WRITE_GAP = Limits(write_gap=10.0)


@pytest.fixture
def stack(reference: Stack) -> Stack:
    return reference


def get(stack: Stack, url: str, **options: object) -> requests.Response:
    return requests.get(url, verify=stack.ca_file, timeout=10, **options)  # type: ignore[arg-type]


def post(stack: Stack, site: str, key: str) -> dict[str, object]:
    body = {"text": "from the scenario", "key": key}
    answer = requests.post(f"{site}/api/entries", json=body, verify=stack.ca_file, timeout=10)
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_status_says_what_machines_need(stack: Stack) -> None:
    found = status(stack)
    assert found["stack"] == stack.name
    assert found["healthy"]
    assert Path(found["ca_file"]).is_file()
    assert [server["name"] for server in found["servers"]] == ["server-1", "server-2", "server-3"]
    assert {server["database"]["member_state"] for server in found["servers"]} == {"ONLINE"}
    assert sorted(server["database"]["role"] for server in found["servers"]) == ["primary", "replica", "replica"]


def test_the_bundles_network_settings_are_in_force(stack: Stack) -> None:
    for server in stack.databases:
        lines = stack.exec(server, "cat", SYSCTL).stdout.splitlines()
        wanted = dict(line.split(" = ") for line in lines if line.startswith("net."))
        assert wanted
        said = {key: stack.exec(server, "sysctl", "-n", key).stdout for key in wanted}
        assert {key: value.split() for key, value in said.items()} == {k: v.split() for k, v in wanted.items()}


def test_monitoring_gets_metrics_from_every_server(stack: Stack) -> None:
    wait_for_targets(stack)


def test_the_page_is_served_over_https(stack: Stack, site: str) -> None:
    answer = get(stack, f"{site}/")
    assert answer.status_code == 200
    assert "Guestbook" in answer.text
    assert int(answer.headers["strict-transport-security"].split("=")[1].split(";")[0]) > 0


def test_a_hundred_requests_are_answered_exactly_in_turn(stack: Stack, site: str) -> None:
    served = [get(stack, f"{site}/api/entries?limit=1").json()["served_by"] for _ in range(100)]
    assert set(served) == {"server-1", "server-2"}
    assert all(this != following for this, following in pairwise(served))


def test_http_leads_to_https(stack: Stack) -> None:
    answer = requests.get(str(status(stack)["http_url"]), allow_redirects=False, timeout=10)
    assert answer.status_code in (301, 308)
    assert answer.headers["location"].startswith("https://")


def test_tls_below_1_2_is_refused(stack: Stack, site: str) -> None:
    port = int(site.rsplit(":", 1)[1])

    def version(highest: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=stack.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = highest
        # Without this the client itself would refuse, and the test would say nothing of the server.
        context.set_ciphers("ALL:@SECLEVEL=0")
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        with plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.version()

    assert version(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        version(ssl.TLSVersion.TLSv1_1)


def test_an_entry_is_on_every_member_and_a_replica_takes_no_write(stack: Stack, site: str) -> None:
    entry = post(stack, site, "on-every-member")
    assert entry["written_by"] == stack.primary()
    sql = "SELECT COUNT(*) AS n FROM app.entries WHERE `key` = 'on-every-member'"
    for server in stack.databases:
        wait_until(f"the entry on {server}", lambda s=server: stack.query(s, sql)[0]["n"] == 1, timeout=10)
    for replica in stack.replicas():
        with pytest.raises(RehearsalError, match="super-read-only"):
            stack.query(replica, "INSERT INTO app.entries (text, `key`, written_by) VALUES ('x', 'no', 'x')")


def test_the_same_key_again_is_the_same_entry(stack: Stack, site: str) -> None:
    first = post(stack, site, "posted-twice")
    body = {"text": "another text", "key": "posted-twice"}
    again = requests.post(f"{site}/api/entries", json=body, verify=stack.ca_file, timeout=10)
    assert again.status_code == 200
    assert again.json()["id"] == first["id"]


def test_mysql_without_tls_is_refused(stack: Stack) -> None:
    program = (
        "import pymysql, sys\n"
        "password = open('/etc/tripod/secrets/app_reader').read()\n"
        "try:\n"
        "    pymysql.connect(host='127.0.0.1', port=3307, user='app_reader', password=password, ssl_disabled=True)\n"
        "except pymysql.err.MySQLError as error:\n"
        "    print(error.args[0]); sys.exit(3)\n"
    )
    done = stack.exec("server-2", "python3", "-c", program, check=False)
    # 3159: connections using insecure transport are prohibited; 1045: the account demands TLS.
    assert done.exit_code == 3, done.stderr
    assert done.stdout.strip() in {"3159", "1045"}


def test_exactly_the_declared_flows_are_open(stack: Stack, project_directory: Path) -> None:
    done = rehearsal("flows", "--stack", stack.name, "--project", str(project_directory), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_primary_costs_seconds_and_no_acknowledged_write(stack: Stack, tmp_path: Path) -> None:
    old = stack.primary()
    with watching(stack, tmp_path) as watch:
        watch.mark(f"kill mysqld of {old}")
        at = time.monotonic()
        kill_mysqld(stack, old)
        watch.wait_for_writes(at + 0.5, timeout=30)
        watch.observe(3)
    verdict = verdict_of(watch, WRITE_GAP)
    assert verdict.passed, verdict
    member = stack.member(old)
    assert member.member_role == "SECONDARY"
    assert member.super_read_only
    stack.wait_healthy()


def test_a_host_switched_off_and_on_comes_back_as_a_replica(stack: Stack, tmp_path: Path) -> None:
    # Not the host of the only load balancer: the reference preset cannot survive that one.
    if stack.primary() == "server-1":
        kill_mysqld(stack, "server-1")
        wait_until("another primary", lambda: stack.primary() != "server-1", timeout=60)
        stack.wait_whole()
    old = stack.primary()
    with watching(stack, tmp_path) as watch:
        watch.mark(f"{old} loses power")
        at = time.monotonic()
        stack.power("kill", old)
        watch.wait_for_writes(at + 0.5, timeout=30)
        watch.mark(f"{old} is switched on")
        stack.power("start", old)
    verdict = verdict_of(watch, WRITE_GAP)
    assert verdict.passed, verdict
    stack.wait_healthy()


def test_all_hosts_switched_off_and_on_lose_nothing(stack: Stack, site: str) -> None:
    keys = [f"before-the-outage-{n}" for n in range(20)]
    for key in keys:
        post(stack, site, key)
    stack.power("kill", *stack.databases)
    stack.power("start", *stack.databases)
    stack.wait_whole(180)
    stack.wait_healthy()
    for server in stack.databases:
        there = {row["key"] for row in stack.query(server, "SELECT `key` FROM app.entries")}
        assert set(keys) <= there, server
    post(stack, site, "after-the-outage")


def test_outside_its_group_a_member_takes_no_write_and_without_the_setting_it_would(stack: Stack) -> None:
    server = stack.replicas()[-1]
    assert not write_astray(stack, server, 60)

    # The negative control: the same without super_read_only at boot.
    let_it_write(stack, server)
    assert write_astray(stack, server, 60)

    # What only this server holds must never enter the group, nor be thrown away by a program.
    wait_refused(stack, server)
    assert not stack.query(
        server, "SELECT 1 FROM performance_schema.replication_group_members WHERE member_state='ONLINE'"
    )


def test_a_server_with_an_empty_data_directory_joins_by_clone(stack: Stack, site: str) -> None:
    """Follows the test above, which left one member that must not join as it is."""
    server = next(name for name in stack.databases if stack.member(name).member_state != "ONLINE")
    post(stack, site, "before-the-clone")
    make_anew(stack, server)
    assert stack.member(server).super_read_only
    assert stack.query(server, "SELECT state FROM performance_schema.clone_status")[0]["state"] == "Completed"
    assert not stack.query(server, "SELECT 1 FROM app.entries WHERE `key` = 'astray'")
    assert stack.query(server, "SELECT 1 FROM app.entries WHERE `key` = 'before-the-clone'")
    # One group: every member executed the same transactions.
    assert len({stack.member(name).gtid_executed for name in stack.databases}) == 1


def test_a_group_that_nobody_began_is_given_up_for_the_one_with_the_writes(stack: Stack) -> None:
    server = stack.replicas()[0]
    begin_by_accident(stack, server)
    stack.wait_whole(120)
    said = stack.exec(server, "journalctl", "-u", "tripod-group.service", "-n", "50", "--no-pager").stdout
    assert "not in the group that it came to join" in said
    for name in stack.databases:
        assert stack.query(name, "SELECT 1 FROM app.entries WHERE `key` = 'not-everywhere'")
    stack.wait_healthy()


def test_applying_again_changes_nothing(stack: Stack) -> None:
    done = stack.exec("server-2", "tripod", "apply")
    assert "nothing to change" in (done.stdout + done.stderr).lower()
    stack.wait_healthy()


def test_a_fence_is_lifted_after_its_daemon_was_restarted(stack: Stack) -> None:
    """A primary that is left alone takes no writes; that it fenced itself must outlive a restart of the daemon."""
    primary, replicas = stack.primary(), stack.replicas()
    for server in replicas:
        stack.exec(server, "systemctl", "stop", "mysql.service")
    wait_until("it is fenced", lambda: stack.member(primary).super_read_only, timeout=60, details=stack.journals)
    stack.exec(primary, "systemctl", "stop", "tripod-group.service")
    lead = ("env", "PYTHONPATH=/usr/local/lib/tripod", "python3", "-m", "host.group", "lead", "--accept-loss")
    refused = stack.exec(primary, *lead, check=False)
    assert "does not run on this server" in refused.stderr
    stack.exec(primary, "systemctl", "start", "tripod-group.service")
    for server in replicas:
        stack.exec(server, "systemctl", "start", "mysql.service")
    stack.wait_whole()
    stack.wait_healthy()
    assert not stack.member(stack.primary()).super_read_only


def test_a_write_while_mysqld_is_frozen_is_refused_or_late_but_never_lost(stack: Stack, site: str) -> None:
    """A connection to the primary that hangs must not hang the site for ever."""
    primary, replicas = stack.primary(), stack.replicas()

    def replaced() -> bool:
        return any(stack.member(server).is_primary for server in replicas)

    pid = stack.exec(primary, "systemctl", "show", "-P", "MainPID", "mysql.service").stdout.strip()
    stack.exec(primary, "kill", "-STOP", pid)
    try:
        start = time.monotonic()
        body = {"text": "late", "key": "while-frozen"}
        answer = requests.post(f"{site}/api/entries", json=body, verify=stack.ca_file, timeout=20)
        assert answer.status_code in (201, 503)
        assert time.monotonic() - start < 12
        assert answer.status_code == 201 or int(answer.headers["retry-after"]) > 0
        # Awake before that, it would lead on in its own view while the others are about to leave it behind.
        wait_until("another primary", replaced, timeout=30, details=stack.journals)
    finally:
        stack.exec(primary, "kill", "-CONT", pid)
    stack.wait_whole()

    def accepted() -> bool:
        # A server that stood still is no writer for some seconds: it may not know yet that another leads.
        again = requests.post(f"{site}/api/entries", json=body, verify=stack.ca_file, timeout=20)
        return again.status_code in (200, 201)

    wait_until("the repeated write is accepted", accepted, timeout=60, details=stack.journals)
    stack.wait_healthy()
