"""Run Command: results, limits and every way in which it gives none."""

from __future__ import annotations

import json
import subprocess

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ssm import ssm_backends

from operations.aws import Aws
from operations.command import STDOUT_LIMIT, CommandResult, SsmRunner, program
from operations.errors import AwsError, CommandFailedError, PermissionDeniedError, ServerUnreachableError
from tests.operations.conftest import REGION


@pytest.fixture
def answer(monkeypatch):
    """What the agent on the server reports, one dictionary a poll; the last one stays."""
    backend = ssm_backends[DEFAULT_ACCOUNT_ID][REGION]
    real = type(backend).get_command_invocation
    given: list[dict[str, object] | Exception] = []

    def invocation(self, command_id, instance_id, plugin_name):
        value = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(value, Exception):
            raise value
        return {**real(self, command_id, instance_id, plugin_name), **value}

    monkeypatch.setattr(type(backend), "get_command_invocation", invocation)
    return given


def done(exit_code: int = 0, stdout: str = "", stderr: str = "") -> dict[str, object]:
    status = "Success" if exit_code == 0 else "Failed"
    return {
        "Status": status,
        "StatusDetails": status,
        "ResponseCode": exit_code,
        "StandardOutputContent": stdout,
        "StandardErrorContent": stderr,
    }


def running(status: str) -> dict[str, object]:
    return {"Status": status, "StatusDetails": status, "ResponseCode": -1}


def run(aws, fleet, timeout=5.0):
    return SsmRunner(aws, poll_seconds=0.001).run(fleet.server("server-1"), "echo hello", timeout)


def test_sends_the_script_to_the_server_and_no_other(aws, fleet, answer, monkeypatch):
    real, sent = Aws.call, []

    def call(self, service, operation, **parameters):
        sent.append((operation, parameters.get("InstanceIds") or [parameters["InstanceId"]]))
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    answer.append(done(0, "hello\n"))
    assert run(aws, fleet, 40.5) == CommandResult("server-1", 0, "hello\n", "")
    (command,) = ssm_backends[DEFAULT_ACCOUNT_ID][REGION]._commands
    assert command.document_name == "AWS-RunShellScript"
    target = [fleet.server("server-1").instance_id]
    assert sent == [("send_command", target), ("get_command_invocation", target)]
    assert command.parameters == {"commands": ["echo hello"], "executionTimeout": ["41"]}
    assert command.timeout_seconds == 41


def test_short_timeouts_keep_to_the_least_that_aws_takes(aws, fleet, answer):
    answer.append(done())
    run(aws, fleet, 2)
    (command,) = ssm_backends[DEFAULT_ACCOUNT_ID][REGION]._commands
    assert command.timeout_seconds == 30
    assert command.parameters["executionTimeout"] == ["2"]


def test_polls_until_it_ended(aws, fleet, answer):
    answer += [running("Pending"), running("InProgress"), running("Delayed"), done(3, "", "no such file\n")]
    result = run(aws, fleet)
    assert (result.exit_code, result.complaint) == (3, "no such file")
    with pytest.raises(CommandFailedError, match=r"server-1: reading failed \(exit code 3\): no such file"):
        result.require("reading")


def test_an_invocation_that_is_not_visible_yet(aws, fleet, answer, monkeypatch):
    real, calls = Aws.call, []

    def call(self, service, operation, **parameters):
        if operation == "get_command_invocation" and len(calls) < 2:
            calls.append(operation)
            raise AwsError("ssm:GetCommandInvocation", "InvocationDoesNotExist", "")
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    answer.append(done(0, "there"))
    assert run(aws, fleet).stdout == "there"
    assert len(calls) == 2


def test_output_at_the_limit_is_called_truncated():
    assert STDOUT_LIMIT == 24_000
    assert CommandResult("s", 0, "x" * 24_000, "").truncated
    assert not CommandResult("s", 0, "x" * 23_999, "").truncated


@pytest.mark.parametrize(
    "stdout,stderr,complaint",
    [
        ("one\ntwo\n", "", "two"),
        ("one\n", "bad\nworse\n\n", "worse"),
        ("", "", "exit code 7 and no output"),
    ],
)
def test_complaint(stdout, stderr, complaint):
    assert CommandResult("s", 7, stdout, stderr).complaint == complaint


def test_a_server_that_ssm_does_not_manage(aws, fleet, monkeypatch):
    def call(self, service, operation, **parameters):
        raise AwsError("ssm:SendCommand", "InvalidInstanceId", "Instances not in a valid state for account")

    monkeypatch.setattr(Aws, "call", call)
    with pytest.raises(ServerUnreachableError, match=r"server-1: i-.* is not managed by Systems Manager") as caught:
        run(aws, fleet)
    assert caught.value.server == "server-1"


def test_a_missing_permission_stays_one(aws, fleet, monkeypatch):
    def call(self, service, operation, **parameters):
        raise PermissionDeniedError("ssm:SendCommand", "arn:x", None)

    monkeypatch.setattr(Aws, "call", call)
    with pytest.raises(PermissionDeniedError, match="ssm:SendCommand"):
        run(aws, fleet)


@pytest.mark.parametrize("details", ["Delivery Timed Out", "DeliveryTimedOut", "Undeliverable"])
def test_a_command_that_is_not_delivered(aws, fleet, answer, details):
    answer.append({"Status": "TimedOut", "StatusDetails": details, "ResponseCode": -1})
    with pytest.raises(ServerUnreachableError, match="could not deliver"):
        run(aws, fleet)


def test_a_command_that_takes_too_long(aws, fleet, answer):
    answer.append({"Status": "TimedOut", "StatusDetails": "ExecutionTimedOut", "ResponseCode": -1})
    with pytest.raises(CommandFailedError, match="did not end within 5 s"):
        run(aws, fleet)


def test_a_script_that_cannot_start(aws, fleet, answer):
    answer.append({"Status": "Failed", "StatusDetails": "Failed", "ResponseCode": -1, "StandardErrorContent": "no sh"})
    with pytest.raises(CommandFailedError, match=r"could not be run \(Failed\): no sh"):
        run(aws, fleet)


def test_an_agent_that_never_answers_is_given_up_and_its_command_cancelled(aws, fleet, answer, monkeypatch):
    real, cancelled = Aws.call, []

    def call(self, service, operation, **parameters):
        if operation == "cancel_command":
            cancelled.append(parameters["InstanceIds"])
            return {}
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    monkeypatch.setattr("operations.command.DELIVERY_GRACE_SECONDS", 0.0)
    answer.append(running("InProgress"))
    with pytest.raises(ServerUnreachableError, match=r"no result within 0 s"):
        run(aws, fleet, 0.05)
    assert cancelled == [[fleet.server("server-1").instance_id]]


def test_programs_travel_as_text_and_get_their_arguments(tmp_path):
    script = program("site_check", "127.0.0.1", "it's", "/a b")
    assert len(script) < 60_000
    # The same script in a shell, with a python3 that shows what it was given.
    fake = tmp_path / "python3"
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"; wc -l\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    words, lines = done.stdout.rsplit("|", 1)
    assert words.split("|") == ["-", "127.0.0.1", "it's", "/a b"]
    assert int(lines) > 50


def test_the_site_check_runs_from_standard_input():
    done = subprocess.run(
        ["/bin/sh", "-c", program("site_check", "127.0.0.1", "", "/")], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert set(answer) == {"status", "error", "note"}
