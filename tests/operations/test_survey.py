"""The group is healthy only when every member says so and exactly one accepts writes."""

from __future__ import annotations

import dataclasses

import pytest

from operations.errors import PermissionDeniedError, ServerUnreachableError
from operations.fleet import Fleet
from operations.survey import group_problems, observe, primaries, survey


def problems(hosts, fleet):
    return group_problems(fleet, survey(hosts, fleet))


def test_a_healthy_group(fleet, hosts):
    assert problems(hosts, fleet) == ()
    assert primaries(survey(hosts, fleet)) == ("server-1",)


def test_order_of_the_fleet_whoever_answers_first(fleet, hosts):
    assert list(survey(hosts, fleet)) == ["server-1", "server-2", "server-3"]


def test_a_member_that_is_not_online(fleet, hosts):
    hosts["server-2"].member_state = "RECOVERING"
    assert problems(hosts, fleet) == ("server-2: its database is RECOVERING, not ONLINE",)


def test_a_member_that_sees_another_group(fleet, hosts):
    hosts["server-3"].members = hosts["server-3"].online = 1
    assert problems(hosts, fleet) == ("server-3: sees 1 of 1 group members ONLINE, expected 3",)


def test_a_member_too_many_elsewhere(fleet, hosts):
    hosts["server-3"].online = 2
    assert problems(hosts, fleet) == ("server-3: sees 2 of 3 group members ONLINE, expected 3",)


def test_two_writers(fleet, hosts):
    hosts["server-2"].writable = True
    assert problems(hosts, fleet) == ("the group has 2 writers (server-1, server-2), expected exactly one",)


def test_no_writer(fleet, hosts):
    hosts["server-1"].writable = False
    assert problems(hosts, fleet) == ("the group has 0 writers (none), expected exactly one",)


def test_a_server_without_state(fleet, hosts):
    hosts["server-1"].role = None
    assert "server-1: its database gives no state" in problems(hosts, fleet)


def test_a_stack_without_databases_needs_no_writer(fleet, hosts):
    servers = tuple(dataclasses.replace(s, roles=()) for s in fleet.servers)
    for host in hosts.hosts.values():
        host.role = None
    assert problems(hosts, Fleet("dev", servers)) == ()


def test_a_server_that_cannot_be_reached_is_an_observation(fleet, hosts):
    hosts.answers["server-2"] = ServerUnreachableError("server-2", "i-1 is not managed by Systems Manager")
    seen = survey(hosts, fleet)["server-2"]
    assert seen.status is None
    assert seen.problems == ("i-1 is not managed by Systems Manager",)


def test_a_stopped_server_is_not_asked(fleet, hosts):
    stopped = dataclasses.replace(fleet.server("server-2"), state="stopped")
    assert observe(hosts, stopped).problems == ("the instance is stopped",)
    assert hosts.commands == []


def test_a_missing_permission_is_no_observation(fleet, hosts):
    hosts.answers["server-2"] = PermissionDeniedError("ssm:SendCommand", "*", None)
    with pytest.raises(PermissionDeniedError):
        survey(hosts, fleet)
