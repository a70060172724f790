"""What servers say, and what happens when they say nonsense."""

from __future__ import annotations

import json

import boto3
import pytest

from operations.aws import Aws
from operations.command import CommandResult
from operations.errors import CommandFailedError, OperationError, PermissionDeniedError, ServerNotFoundError
from operations.fleet import Fleet, FleetServer
from operations.state import desired_digests, expected_digests, host_status, read_states
from tests.operations.conftest import NEW, OLD, REFERENCE, REGION, put_manifest, put_state


def test_states_by_server_and_none_for_the_silent(aws, fleet):
    put_state("server-1")
    put_state("server-3", ok=False, step="apply", error="no such object", digest=None)
    states = read_states(aws, fleet)
    assert set(states) == {"server-1", "server-3"}
    assert (states["server-1"].step, states["server-1"].digest, states["server-1"].failed) == ("ready", OLD, False)
    assert states["server-3"].failed


@pytest.mark.parametrize(
    "state,failed",
    [
        ({"ok": True, "step": "packages", "digest": None}, False),
        ({"ok": False, "step": "packages", "digest": None, "error": "no mirror"}, True),
        # A server that waits until it is healthy says what it waits for.
        ({"ok": False, "step": "ready", "error": "mysql is activating"}, False),
        ({"ok": True, "step": "apply", "error": "HAProxy's health is 503"}, False),
    ],
)
def test_what_counts_as_failed(aws, fleet, state, failed):
    put_state("server-1", **state)
    assert read_states(aws, fleet)["server-1"].failed is failed


def test_more_servers_than_one_call_takes(aws, fleet):
    first = fleet.server("server-1")
    servers = tuple(FleetServer(**{**vars(first), "name": f"server-{n}"}) for n in range(1, 24))
    for server in servers:
        put_state(server.name, digest=server.name)
    states = read_states(aws, Fleet("dev", servers))
    assert {name: state.digest for name, state in states.items()} == {s.name: s.name for s in servers}


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '"x"'])
def test_a_damaged_state_names_its_parameter(aws, fleet, text):
    boto3.client("ssm", region_name=REGION).put_parameter(
        Name="/tripod/dev/servers/server-2/state", Value=text, Type="String"
    )
    with pytest.raises(OperationError, match="/tripod/dev/servers/server-2/state"):
        read_states(aws, fleet)


def test_digests_as_given(aws, fleet):
    assert expected_digests(aws, fleet, json.dumps({"server-1": NEW})) == {"server-1": NEW}


@pytest.mark.parametrize("text", ["{", "[]", '{"server-1": 3}', "3"])
def test_digests_that_are_none(aws, fleet, text):
    with pytest.raises(OperationError, match="TRIPOD_EXPECTED_DIGESTS"):
        expected_digests(aws, fleet, text)


def test_digests_of_a_server_that_is_not_there(aws, fleet):
    with pytest.raises(ServerNotFoundError, match="server-9"):
        expected_digests(aws, fleet, '{"server-9": "sha256:0"}')


def test_digests_from_the_bucket(aws, fleet):
    for name in REFERENCE:
        put_manifest(name, f"sha256:{name}")
    assert expected_digests(aws, fleet, None) == {name: f"sha256:{name}" for name in REFERENCE}


def test_a_manifest_that_is_missing(aws, fleet):
    put_manifest("server-1", OLD)
    with pytest.raises(OperationError, match=r"no bundle for server-2 at s3://tripod-dev-123456789012-.*pulumi up"):
        expected_digests(aws, fleet, None)


def test_no_bucket_at_all(aws, fleet):
    with pytest.raises(OperationError, match=r"no bundle for server-1.*pulumi up"):
        expected_digests(aws, fleet, None)


def test_a_caller_who_may_not_read_the_bucket_gets_the_rest(aws, fleet, monkeypatch):
    real = Aws.call

    def call(self, service, operation, **parameters):
        if service == "s3":
            raise PermissionDeniedError("s3:GetObject", "arn:aws:s3:::bucket/key", None)
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", call)
    digests, reason = desired_digests(aws, fleet, None)
    assert digests == {}
    assert reason is not None
    assert "s3:GetObject" in reason


def test_status_of_an_unhealthy_server_is_a_status(fleet, hosts):
    hosts["server-2"].problems = ["haproxy.service is failed"]
    status = host_status(hosts, fleet.server("server-2"))
    assert not status.healthy
    assert status.problems == ("haproxy.service is failed",)
    assert status.database is not None
    assert status.database.member_state == "ONLINE"


def test_status_while_mysqld_is_down(fleet, hosts):
    down = hosts["server-2"]
    down.role = "none"
    down.member_state = down.gtid_executed = down.members = down.online = None
    status = host_status(hosts, fleet.server("server-2"))
    assert status.database is not None
    assert (status.database.member_state, status.database.members, status.database.online) == ("unknown", 0, 0)


@pytest.mark.parametrize(
    "result",
    [
        CommandResult("server-1", 127, "", "sh: 1: tripod: not found"),
        CommandResult("server-1", 1, "", "Traceback: KeyError"),
        CommandResult("server-1", 0, '{"server": "server-1"}', ""),
        CommandResult("server-1", 0, "[1]", ""),
        CommandResult("server-1", 0, '{"a":"' + "x" * 24_000, ""),
    ],
    ids=["absent", "crashed", "incomplete", "no object", "too long"],
)
def test_no_status(fleet, hosts, result):
    hosts.answers["tripod status"] = result
    with pytest.raises(CommandFailedError, match=r"server-1: .*tripod status"):
        host_status(hosts, fleet.server("server-1"))


def test_output_beyond_the_limit_is_named_as_such(fleet, hosts):
    hosts.answers["tripod status"] = CommandResult("server-1", 0, "x" * 24_000, "")
    with pytest.raises(CommandFailedError, match="24000 characters"):
        host_status(hosts, fleet.server("server-1"))
