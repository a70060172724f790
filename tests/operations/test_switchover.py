"""Planned switchover: who gets it, who does not, and what is checked afterwards."""

from __future__ import annotations

import dataclasses
import json

import pytest

from operations.command import CommandResult
from operations.deadline import Deadline
from operations.errors import CommandFailedError, OperationError, ServerNotFoundError
from operations.fleet import Fleet
from operations.progress import Progress
from operations.switchover import Switchover, switchover
from topology.names import Role

WORD = "Hand the group"
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def run(fleet, hosts, clock, lines):
    def call(to=None, fleet=fleet, timeout=60):
        progress = Progress(lines.append, clock)
        return switchover(hosts, fleet, progress, Deadline(timeout, clock, clock.sleep), to=to, drain=5)

    return call


@pytest.fixture(autouse=True)
def handing_over(hosts):
    """The remote program, as it works when nothing is wrong."""

    def program(server, script):
        name = script.split()[2]
        for host in hosts.hosts.values():
            host.writable, host.role = host.name == name, "primary" if host.name == name else "replica"
        report = {"old": "u1", "new": "u2", "seconds": 0.21, "gap_ms": 312.5, "error": None}
        return CommandResult(server.name, 0, json.dumps(report), "")

    hosts.answers[WORD] = program


def test_to_a_named_server(run, hosts):
    assert run("server-3") == Switchover("server-1", "server-3", 0.21, 312.5)
    ((server, script),) = [(name, script) for name, script in hosts.commands if WORD in script]
    assert server == "server-1"
    assert script.startswith("python3 - server-3 10.20.0.12 100 60 5 <<")


def test_to_the_replica_that_is_least_behind(run, hosts):
    hosts["server-2"].gtid_executed = f"{UUID}:1-90"
    assert run().new == "server-3"


def test_and_that_can_be_the_other_one(run, hosts):
    hosts["server-3"].gtid_executed = f"{UUID}:1-90"
    assert run().new == "server-2"


def test_not_to_the_server_with_the_public_address_if_there_is_a_choice(run, hosts, fleet):
    servers = tuple(
        dataclasses.replace(s, public_address="203.0.113.7" if s.name == "server-2" else None) for s in fleet.servers
    )
    hosts["server-3"].gtid_executed = f"{UUID}:1-50"
    assert run(fleet=Fleet("dev", servers)).new == "server-3"


def test_the_primary_keeps_what_it_has(run, hosts):
    assert run("server-1") is None
    assert not [script for _, script in hosts.commands if WORD in script]


def test_a_server_that_is_not_there(run):
    with pytest.raises(ServerNotFoundError, match="server-9"):
        run("server-9")


def test_a_server_that_is_no_member(run, fleet):
    servers = tuple(dataclasses.replace(s, roles=(Role.APP,)) if s.name == "server-3" else s for s in fleet.servers)
    with pytest.raises(OperationError, match=r"server-3 is not a member of the database group \(server-2\)"):
        run("server-3", fleet=Fleet("dev", servers))


def test_a_replica_that_is_not_online(run, hosts):
    hosts["server-2"].member_state = "RECOVERING"
    with pytest.raises(OperationError, match="server-2 cannot become primary: it is RECOVERING"):
        run("server-2")
    assert run().new == "server-3"


def test_no_replica_is_fit(run, hosts):
    hosts["server-2"].member_state = "RECOVERING"
    hosts["server-3"].role = None
    with pytest.raises(OperationError, match=r"server-2: it is RECOVERING.*server-3: it runs no database"):
        run()


def test_without_a_primary_it_is_not_a_switchover(run, hosts):
    hosts["server-1"].writable = False
    with pytest.raises(OperationError, match="No server accepts writes"):
        run()


def test_with_two_writers_nothing_is_touched(run, hosts):
    hosts["server-2"].writable = True
    with pytest.raises(OperationError, match="server-1 and server-2 all accept writes"):
        run("server-3")
    assert not [script for _, script in hosts.commands if WORD in script]


def test_a_stack_without_databases(run, fleet):
    with pytest.raises(OperationError, match="no database servers"):
        run(fleet=Fleet("dev", tuple(dataclasses.replace(s, roles=(Role.APP,)) for s in fleet.servers)))


def test_what_mysql_refuses_is_said(run, hosts):
    report = {"old": None, "new": None, "seconds": None, "gap_ms": None, "error": "the target left the group"}
    hosts.answers[WORD] = CommandResult("server-1", 1, json.dumps(report), "")
    with pytest.raises(OperationError, match="server-1 did not hand over to server-3: the target left the group"):
        run("server-3")


def test_a_program_that_breaks(run, hosts):
    hosts.answers[WORD] = CommandResult("server-1", 1, "", "ModuleNotFoundError: No module named 'pymysql'")
    with pytest.raises(CommandFailedError, match="No module named 'pymysql'"):
        run("server-3")


def test_a_group_that_is_not_whole_afterwards(run, hosts, clock):
    program = hosts.answers[WORD]

    def breaking(server, script):
        result = program(server, script)
        hosts["server-1"].member_state = "ERROR"
        return result

    hosts.answers[WORD] = breaking
    with pytest.raises(OperationError, match=r"handed over to server-3, but .* after 60 s.*server-1.*ERROR"):
        run("server-3")
    assert clock.now >= 60


def test_it_waits_until_the_new_primary_writes(run, hosts, clock):
    program = hosts.answers[WORD]

    def slowly(server, script):
        result = program(server, script)
        hosts["server-3"].writable = False
        clock.at.append((7, lambda: setattr(hosts["server-3"], "writable", True)))
        return result

    hosts.answers[WORD] = slowly
    assert run("server-3").new == "server-3"
    assert 7 <= clock.now < 10


def test_a_gap_that_was_not_seen(run, hosts):
    program = hosts.answers[WORD]

    def unseen(server, script):
        result = program(server, script)
        return dataclasses.replace(result, stdout=json.dumps({**json.loads(result.stdout), "gap_ms": None}))

    hosts.answers[WORD] = unseen
    assert run("server-3").gap_ms is None
