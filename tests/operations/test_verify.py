"""Verification: what it waits for, what it says meanwhile, and how it fails."""

from __future__ import annotations

import dataclasses
import json

import boto3
import pytest

from operations.aws import Aws
from operations.command import CommandResult
from operations.deadline import Deadline
from operations.errors import OperationError, PermissionDeniedError, ServerUnreachableError
from operations.fleet import Fleet
from operations.progress import Progress
from operations.verify import FAILURE_SECONDS, Verification, VerificationFailedError
from tests.operations.conftest import NEW, OLD, REFERENCE, REGION, put_state
from tests.operations.test_targets import group

ALL_OLD, ALL_NEW = dict.fromkeys(REFERENCE, OLD), dict.fromkeys(REFERENCE, NEW)


class Bench:
    """A verification with a clock that only sleeping moves."""

    def __init__(self, aws, fleet, hosts, clock):
        self.aws, self.fleet, self.hosts, self.clock = aws, fleet, hosts, clock
        self.lines: list[str] = []

    def run(self, expected: dict[str, str] = ALL_OLD, timeout: float = 300) -> None:
        progress = Progress(self.lines.append, self.clock)
        deadline = Deadline(timeout, self.clock, self.clock.sleep)
        Verification(self.aws, self.hosts, self.fleet, progress, deadline, expected).run()

    def fails(self, expected: dict[str, str] = ALL_OLD, timeout: float = 300) -> str:
        with pytest.raises(VerificationFailedError) as caught:
            self.run(expected, timeout)
        return str(caught.value)


@pytest.fixture
def bench(aws, fleet, hosts, clock) -> Bench:
    return Bench(aws, fleet, hosts, clock)


@pytest.fixture
def ready(aws) -> None:
    for name in REFERENCE:
        put_state(name)


def test_a_healthy_stack_is_verified_at_once(bench, ready, clock):
    bench.run()
    assert clock.now == 0
    assert bench.hosts.asked("tripod apply") == []
    said = "\n".join(bench.lines)
    for part in ("server-1: ready", "server-2: healthy", "database group: all ONLINE, one writer", "site: answers"):
        assert part in said


def test_it_waits_for_servers_that_boot(bench, clock):
    put_state("server-1")
    put_state("server-2", ok=True, step="packages", digest=None)
    clock.at.append((30, lambda: put_state("server-2", ok=True, step="apply", digest=None)))
    clock.at.append((60, lambda: put_state("server-2")))
    clock.at.append((90, lambda: put_state("server-3")))
    bench.run()
    assert 90 <= clock.now < 100
    mine = [line.split(" s  ", 1)[1] for line in bench.lines if "server-2:" in line]
    assert mine[:3] == [
        "server-2: step 'packages'",
        "server-2: step 'apply'",
        "server-2: ready, bundle sha256:aaaaaaaaaaaa",
    ]


def test_lines_are_not_repeated_while_nothing_changes(bench, clock):
    put_state("server-1")
    put_state("server-2")
    clock.at.append((200, lambda: put_state("server-3")))
    bench.run()
    assert sum("server-3: instance running, has not reported yet" in line for line in bench.lines) == 1


def test_a_server_that_never_reports(bench):
    put_state("server-1")
    put_state("server-2")
    message = bench.fails(timeout=100)
    assert "not every server has reported ready after 100 s" in message
    assert "server-3: instance running, has not reported yet (for 100 s)" in message
    assert "server-3 mysqld: last words" in message
    # Those that did their part are not accused.
    assert "server-1" not in message


def test_a_server_that_hangs_at_a_step_is_named_with_it(bench, clock):
    for name in REFERENCE:
        put_state(name)
    put_state("server-2", ok=True, step="packages", digest=None)
    clock.at.append((42, lambda: put_state("server-2", ok=True, step="apply", digest=None)))
    assert "server-2: step 'apply' (for 60 s)" in bench.fails(timeout=102)


def test_without_a_journal_the_console_speaks(bench, monkeypatch):
    put_state("server-1")
    put_state("server-2")
    bench.hosts.answers["server-3"] = ServerUnreachableError("server-3", "not managed by Systems Manager")
    real = Aws.call

    def call(self, service, operation, **parameters):
        if operation == "get_console_output":
            assert parameters["InstanceId"] == bench.fleet.server("server-3").instance_id
            return {"Output": "\x1b[1mkernel panic\x1b[0m\r\n"}
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    message = bench.fails(timeout=10)
    assert "no journal (not managed by Systems Manager); console:\n    kernel panic" in message


def test_a_first_start_that_keeps_failing_ends_early(bench, clock):
    put_state("server-1")
    put_state("server-2", ok=False, step="apply", error="secret: no parameter /x; create it", digest=None)
    put_state("server-3")
    message = bench.fails(timeout=900)
    assert "server-2 keeps failing at step 'apply': secret: no parameter /x" in message
    assert FAILURE_SECONDS <= clock.now < FAILURE_SECONDS + 10
    assert "server-2 mysqld: last words" in message


def test_a_first_start_that_mends_itself_is_waited_for(bench, clock):
    put_state("server-1")
    put_state("server-2", ok=False, step="apply", error="AccessDenied", digest=None)
    put_state("server-3")
    clock.at.append((FAILURE_SECONDS - 10, lambda: put_state("server-2")))
    bench.run()
    assert any("failed at step 'apply', will try again: AccessDenied" in line for line in bench.lines)


def test_other_bundles_are_rolled_out(bench, ready):
    bench.run(ALL_NEW)
    assert [name for name, _ in bench.hosts.asked("tripod apply")] == ["server-2", "server-3", "server-1"]


def test_only_on_servers_whose_bundle_changed(bench, ready):
    bench.hosts["server-2"].digest = OLD
    bench.run({**ALL_OLD, "server-2": NEW})
    assert bench.hosts.asked("tripod apply") == [("server-2", f"tripod apply --expect {NEW}")]


def test_a_member_that_is_being_cloned_is_waited_for_before_the_next_restarts(bench, ready, clock):
    """server-3 was created anew: ready in that it has its bundle."""
    bench.hosts["server-3"].member_state = "RECOVERING"
    clock.at.append((60, lambda: setattr(bench.hosts["server-3"], "member_state", "ONLINE")))
    began = []
    bench.hosts.on_apply = lambda host, script: (began.append(clock.now), setattr(host, "digest", NEW))
    bench.run({**ALL_OLD, "server-2": NEW})
    assert began == pytest.approx([60], abs=3)


def test_a_member_that_does_not_come_back_is_the_one_to_look_at(bench, ready):
    bench.hosts["server-3"].member_state = "ERROR"
    message = bench.fails({**ALL_OLD, "server-2": NEW})
    assert "Roll-out stopped at server-2: the database of server-3 is ERROR, not ONLINE" in message
    assert "server-3 mysqld: last words" in message
    assert bench.hosts.asked("tripod apply") == []


def test_an_earlier_failure_is_tried_again(bench, ready):
    put_state("server-3", ok=False, step="apply", error="no such object")
    bench.run(ALL_OLD)
    assert [name for name, _ in bench.hosts.asked("tripod apply")] == ["server-3"]
    assert any("failed earlier at step 'apply': no such object" in line for line in bench.lines)


def test_a_server_that_is_unhealthy_with_its_old_bundle_gets_the_new_one(bench, ready):
    put_state("server-2", ok=False, step="ready", error="haproxy.service is failed")
    bench.hosts["server-2"].problems = ["haproxy.service is failed"]

    def mend(host, script):
        host.digest, host.problems = NEW, []

    bench.hosts.on_apply = mend
    bench.run({**ALL_OLD, "server-2": NEW})


def test_an_apply_that_fails_ends_it_with_the_server_s_error_and_journal(bench, ready):
    bench.hosts.answers["tripod apply"] = lambda server, script: CommandResult(
        server.name, 13, "", f"tripod apply: {server.name}: check: haproxy.cfg:3 unknown keyword"
    )
    message = bench.fails(ALL_NEW)
    assert "Roll-out stopped at server-2" in message
    assert "haproxy.cfg:3 unknown keyword" in message
    assert "Not touched: server-3, server-1." in message
    assert "server-2 mysqld: last words" in message
    assert "server-3 mysqld" not in message


def test_an_error_in_the_status_ends_it(bench, ready, clock):
    bench.hosts["server-3"].error = "rolled back: mysqld refused the configuration"
    bench.hosts["server-3"].problems = ["the last apply failed"]
    message = bench.fails()
    assert "server-3 could not apply its bundle: rolled back: mysqld refused" in message
    assert clock.now == 0


def test_an_unhealthy_server_until_the_deadline(bench, ready):
    bench.hosts["server-2"].problems = ["tripod-app.service is failed (failed)"]
    bench.hosts["server-2"].units = {"tripod-app.service": "failed", "haproxy.service": "active"}
    message = bench.fails(timeout=30)
    assert "not every server is healthy after 30 s" in message
    assert "server-2: waiting: tripod-app.service is failed (failed) (for 30 s)" in message
    (journal,) = [script for name, script in bench.hosts.asked("journalctl") if name == "server-2"]
    assert "--unit=tripod-app.service" in journal
    assert "haproxy.service" not in journal


def test_a_wrong_bundle_that_stays(bench, ready):
    put_state("server-2", digest=NEW)
    message = bench.fails({**ALL_OLD, "server-2": NEW}, timeout=30)
    assert "server-2: waiting: it has applied sha256:aaaaaaaaaaaa, not sha256:bbbbbbbbbbbb" in message


def test_two_writers_are_never_healthy(bench, ready):
    bench.hosts["server-2"].writable = True
    message = bench.fails(timeout=30)
    assert "database group: waiting: the group has 2 writers (server-1, server-2)" in message


def test_a_group_that_forms_late(bench, ready, clock):
    bench.hosts["server-3"].member_state = "RECOVERING"
    clock.at.append((20, lambda: setattr(bench.hosts["server-3"], "member_state", "ONLINE")))
    bench.run()
    assert 20 <= clock.now < 30


def site(status: int | None, error: str | None = None, note: str | None = None) -> CommandResult:
    return CommandResult("server-1", 0, json.dumps({"status": status, "error": error, "note": note}), "")


@pytest.mark.parametrize(
    "answer,said",
    [
        (site(503), "server-1: the site answers with status 503"),
        (site(None, "connection refused"), "no answer from https://10.20.0.10/: connection refused"),
        (CommandResult("server-1", 1, "", "NameError: x"), "server-1: asking the site for a page failed"),
        (CommandResult("server-1", 0, "garbage", ""), "server-1: the site check failed: garbage"),
        (ServerUnreachableError("server-1", "gone"), "server-1: gone"),
    ],
)
def test_a_site_that_does_not_answer(bench, ready, answer, said):
    bench.hosts.answers["Ask the site"] = answer
    message = bench.fails(timeout=30)
    assert "the site does not answer after 30 s" in message
    assert said in message
    assert "server-1 mysqld: last words" in message


@pytest.mark.parametrize("status", [200, 301, 401, 404])
def test_whatever_the_application_says_below_500_is_an_answer(bench, ready, status):
    bench.hosts.answers["Ask the site"] = site(status)
    bench.run()


def test_only_load_balancers_are_asked_for_the_site(bench, ready):
    bench.run()
    assert {name for name, script in bench.hosts.commands if "Ask the site" in script} == {"server-1"}


def test_a_note_on_the_certificate_is_passed_on(bench, ready):
    bench.hosts.answers["Ask the site"] = site(200, None, "its certificate is from an authority unknown here")
    bench.run()
    assert any("authority unknown here" in line for line in bench.lines)


def test_it_waits_until_the_world_is_sent_to_every_load_balancer(bench, ready, clock):
    arn = group("https", 443)
    register = boto3.client("elbv2", region_name=REGION).register_targets
    address = bench.fleet.servers[0].address
    clock.at.append((120, lambda: register(TargetGroupArn=arn, Targets=[{"Id": address, "Port": 443}])))
    bench.run()
    assert 120 <= clock.now < 130
    assert any("site: waiting: server-1: for port 443 it is not registered" in line for line in bench.lines)


def test_a_load_balancer_that_the_world_is_never_sent_to(bench, ready):
    group("https", 443)
    message = bench.fails(timeout=30)
    assert "site: waiting: server-1: for port 443 it is not registered at the Network Load Balancer" in message


def test_a_stopped_server_fails_at_once(bench, ready, clock, monkeypatch):
    servers = tuple(dataclasses.replace(s, state="stopped") if s.name == "server-2" else s for s in bench.fleet.servers)
    bench.fleet = Fleet("dev", servers)
    monkeypatch.setattr("operations.verify.find_fleet", lambda aws, stack: bench.fleet)
    assert "the instance of server-2 is stopped" in bench.fails()
    assert clock.now == 0


def test_a_missing_permission_is_not_waited_out(bench, ready, clock):
    bench.hosts.answers["tripod status"] = PermissionDeniedError("ssm:SendCommand", "arn:x", None)
    with pytest.raises(OperationError, match="ssm:SendCommand"):
        bench.run()
    assert clock.now == 0


def test_without_expected_digests_any_bundle_will_do(bench, ready):
    bench.hosts["server-2"].digest = NEW
    bench.run({})
    assert bench.hosts.asked("tripod apply") == []


def test_the_deadline_holds_over_all_phases(bench, ready, clock):
    bench.hosts["server-2"].problems = ["mysql.service is activating"]
    clock.at.append((50, bench.hosts["server-2"].problems.clear))
    bench.hosts.answers["Ask the site"] = site(503)
    bench.fails(timeout=80)
    assert 80 <= clock.now < 90
