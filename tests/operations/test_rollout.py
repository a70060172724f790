"""The roll-out: its order, its waits, and where it stops."""

from __future__ import annotations

import dataclasses

import pytest

from operations.command import CommandResult
from operations.deadline import Deadline
from operations.errors import PermissionDeniedError, ServerUnreachableError
from operations.fleet import Fleet
from operations.progress import Progress
from operations.rollout import HEALTHY_SECONDS, OUTAGE_SECONDS, Rollout, RolloutStoppedError, in_order, short
from operations.survey import survey
from tests.operations.conftest import NEW, OLD, Hosts
from topology.names import Role

EVERY = {"server-1": NEW, "server-2": NEW, "server-3": NEW}


@pytest.fixture
def lines() -> list[str]:
    return []


class Served:
    """What the Network Load Balancer says of servers, by name; the moment of each question."""

    def __init__(self, clock):
        self.clock, self.away, self.asked = clock, {}, []

    def problems(self, server):
        self.asked.append((self.clock.now, server.name))
        return self.away.get(server.name, ())


@pytest.fixture
def targets(clock) -> Served:
    return Served(clock)


@pytest.fixture
def rollout(fleet, hosts, targets, clock, lines) -> Rollout:
    return Rollout(hosts, fleet, targets, Progress(lines.append, clock), Deadline(3600, clock, clock.sleep))


def applied(hosts: Hosts) -> list[str]:
    return [name for name, _ in hosts.asked("tripod apply")]


def test_replicas_first_and_the_primary_last(rollout, fleet, hosts):
    assert rollout.run(fleet.servers, EVERY) == ("server-2", "server-3", "server-1")
    assert applied(hosts) == ["server-2", "server-3", "server-1"]
    assert {host.digest for host in hosts.hosts.values()} == {NEW}


@pytest.mark.parametrize("primary", ["server-1", "server-2", "server-3"])
def test_whoever_is_primary_comes_last(fleet, primary):
    assert in_order(fleet, survey(Hosts(primary), fleet))[-1].name == primary


def test_load_balancers_after_others_and_the_one_with_the_address_after_those(fleet):
    both = (Role.LOAD_BALANCER, Role.DATABASE)
    servers = tuple(
        dataclasses.replace(s, roles=both if s.name != "server-3" else (Role.DATABASE,)) for s in fleet.servers
    )
    # server-1 holds the public address, server-2 stands by, server-3 is primary.
    order = in_order(Fleet("dev", servers), survey(Hosts("server-3"), fleet))
    assert [s.name for s in order] == ["server-2", "server-1", "server-3"]


def test_only_what_was_asked_for(rollout, fleet, hosts):
    assert rollout.run([fleet.server("server-3")], EVERY) == ("server-3",)
    assert applied(hosts) == ["server-3"]


def test_nothing_to_do_asks_nobody(rollout, hosts):
    assert rollout.run([], EVERY) == ()
    assert hosts.commands == []


def test_the_digest_is_pinned(rollout, fleet, hosts):
    rollout.run([fleet.server("server-2")], {"server-2": NEW})
    assert hosts.asked("tripod apply") == [("server-2", f"tripod apply --expect {NEW}")]


def test_without_a_digest_whatever_is_in_the_bucket(rollout, fleet, hosts):
    rollout.run([fleet.server("server-2")], {})
    assert hosts.asked("tripod apply") == [("server-2", "tripod apply")]


def test_one_at_a_time_and_healthy_between(rollout, fleet, hosts, clock):
    def slow(host, script):
        assert {other.member_state for other in hosts.hosts.values()} == {"ONLINE"}
        host.digest = NEW
        host.member_state = "RECOVERING"
        clock.at.append((clock.now + 40, lambda: setattr(host, "member_state", "ONLINE")))

    hosts.on_apply = slow
    rollout.run(fleet.servers, EVERY)
    assert clock.now >= 120
    assert applied(hosts) == ["server-2", "server-3", "server-1"]


def test_the_next_goes_only_when_the_world_reaches_the_last(rollout, fleet, hosts, targets, clock):
    began = {}

    def restart(host, script):
        began[host.name] = clock.now
        assert not any(targets.away.values()), "another is not in service"
        host.digest, targets.away[host.name] = NEW, ("it is unhealthy",)
        clock.at.append((clock.now + 30, lambda: targets.away.pop(host.name)))

    hosts.on_apply = restart
    rollout.run(fleet.servers, EVERY)
    assert [began[name] for name in ("server-2", "server-3", "server-1")] == pytest.approx([0, 30, 60], abs=4)


def test_a_server_that_the_world_does_not_reach_again(rollout, fleet, targets, clock):
    targets.away["server-2"] = ("for port 443 it is unhealthy at the Network Load Balancer",)
    with pytest.raises(RolloutStoppedError, match=r"at server-2: not healthy .*port 443 it is unhealthy"):
        rollout.run(fleet.servers, EVERY)


def test_it_stops_at_the_first_failure(rollout, fleet, hosts):
    hosts.answers["tripod apply"] = lambda server, script: CommandResult(
        server.name, 13, "", f"tripod apply: {server.name}: check: haproxy -c refused line 3; mend it\n"
    )
    with pytest.raises(RolloutStoppedError, match=r"at server-2: .*exit code 13.*line 3") as caught:
        rollout.run(fleet.servers, EVERY)
    assert caught.value.server == "server-2"
    assert caught.value.untouched == ("server-3", "server-1")
    assert "Not touched: server-3, server-1." in str(caught.value)
    assert applied(hosts) == ["server-2"]


def test_a_server_that_stays_unhealthy(rollout, fleet, hosts, clock):
    hosts.on_apply = lambda host, script: setattr(host, "problems", ["the application answers 500"])
    with pytest.raises(RolloutStoppedError, match=r"at server-2: not healthy \d+ s after .*answers 500"):
        rollout.run(fleet.servers, EVERY)
    assert HEALTHY_SECONDS <= clock.now < HEALTHY_SECONDS + 10
    assert applied(hosts) == ["server-2"]


def test_a_server_that_says_it_applied_but_did_not(rollout, fleet, hosts):
    hosts.on_apply = lambda host, script: None
    with pytest.raises(RolloutStoppedError, match=f"has applied {short(OLD)}, not {short(NEW)}"):
        rollout.run(fleet.servers, EVERY)


def test_a_member_that_does_not_come_back(rollout, fleet, hosts):
    def leave(host, script):
        host.digest, host.member_state = NEW, "ERROR"

    hosts.on_apply = leave
    with pytest.raises(RolloutStoppedError, match="database is ERROR, not ONLINE"):
        rollout.run(fleet.servers, EVERY)


def away(hosts: Hosts, *names: str, state: str = "RECOVERING") -> None:
    """These members are not ONLINE, and all know it."""
    for name in names:
        hosts[name].member_state, hosts[name].writable = state, False
    for host in hosts.hosts.values():
        host.online = len(hosts.hosts) - len(names)


def back(hosts: Hosts, *names: str) -> None:
    for name in names:
        hosts[name].member_state = "ONLINE"
    for host in hosts.hosts.values():
        host.online = len(hosts.hosts)


@pytest.mark.parametrize("asked", [("server-2",), ("server-2", "server-1")], ids=["one server", "more"])
def test_a_member_is_not_taken_down_while_another_is_cloned(rollout, fleet, hosts, clock, lines, asked):
    """server-3 was created anew: it has its bundle, and is of no use to the group yet."""
    away(hosts, "server-3")
    clock.at.append((400, lambda: back(hosts, "server-3")))
    began = []
    hosts.on_apply = lambda host, script: (began.append(clock.now), setattr(host, "digest", NEW))
    assert rollout.run([fleet.server(name) for name in asked], EVERY) == asked
    assert began == pytest.approx([400] * len(asked), abs=3)
    assert any("server-2: waiting before applying: the database of server-3 is RECOVERING" in line for line in lines)


def test_a_member_that_stays_away_stops_the_roll_out_before_the_next(rollout, fleet, hosts):
    away(hosts, "server-3", state="ERROR")
    with pytest.raises(RolloutStoppedError) as caught:
        rollout.run([fleet.server("server-1"), fleet.server("server-2")], EVERY)
    assert "at server-2: the database of server-3 is ERROR, not ONLINE (after 3600 s)" in str(caught.value)
    assert "apply --without-waiting" in str(caught.value)
    assert "Not touched: server-2, server-1." in str(caught.value)
    assert (caught.value.server, caught.value.culprit) == ("server-2", "server-3")
    assert applied(hosts) == []


def test_a_server_that_is_off_is_waited_for_by_its_name(rollout, fleet, hosts, targets, clock):
    off = tuple(dataclasses.replace(s, state="stopped") if s.name == "server-3" else s for s in fleet.servers)
    away(hosts, "server-3")
    rollout = dataclasses.replace(rollout, fleet=Fleet("dev", off), deadline=Deadline(60, clock, clock.sleep))
    with pytest.raises(
        RolloutStoppedError, match="database of server-3 is unknown, not ONLINE, the instance is stopped"
    ):
        rollout.run([fleet.server("server-2")], EVERY)


def test_who_is_away_gets_its_bundle_first_and_at_once(rollout, fleet, hosts, clock):
    """It may be what brings it back. The primary is away as well as any other."""
    away(hosts, "server-3", state="OFFLINE")

    def mend(host, script):
        host.digest = NEW
        if host.name == "server-3":
            clock.at.append((clock.now + 20, lambda: back(hosts, "server-3")))

    hosts.on_apply = mend
    assert rollout.run(fleet.servers, EVERY) == ("server-3", "server-2", "server-1")
    assert clock.now < 30


@pytest.mark.parametrize("state", ["OFFLINE", "ERROR", "RECOVERING"])
def test_nothing_is_waited_for_where_no_group_is(rollout, fleet, hosts, clock, state):
    """A full outage, or a first start that failed: each member comes back with its bundle, or by itself."""
    away(hosts, *hosts.hosts, state=state)
    hosts.on_apply = lambda host, script: (setattr(host, "digest", NEW), back(hosts, host.name))
    rollout.run(fleet.servers, EVERY)
    assert clock.now == 0


def test_a_group_that_is_down_may_be_cured_by_the_member_that_is_left(rollout, fleet, hosts, clock):
    """server-2 leads alone and takes no writes; what is wrong with its bundle keeps the others away."""
    away(hosts, "server-1", "server-3", state="OFFLINE")

    def mend(host, script):
        host.digest = NEW
        back(hosts, "server-1", "server-3")

    hosts.on_apply = mend
    assert rollout.run([fleet.server("server-2")], EVERY) == ("server-2",)
    assert OUTAGE_SECONDS <= clock.now < OUTAGE_SECONDS + 5


def test_a_failover_is_no_outage(rollout, fleet, hosts, clock):
    """For some seconds nobody takes writes while server-3 is cloned; then server-1 does."""
    away(hosts, "server-3")
    hosts["server-1"].writable, hosts["server-2"].online = False, 1
    clock.at.append(
        (30, lambda: (setattr(hosts["server-1"], "writable", True), setattr(hosts["server-2"], "online", 2)))
    )
    clock.at.append((200, lambda: back(hosts, "server-3")))
    rollout.run([fleet.server("server-2")], EVERY)
    assert clock.now >= 200


def test_a_member_that_cannot_be_asked_is_in_its_group(rollout, fleet, hosts, clock):
    """Its SSM agent is dead, its database is well: the others see it."""
    hosts.answers["server-3"] = ServerUnreachableError("server-3", "not managed")
    assert rollout.run([fleet.server("server-2")], EVERY) == ("server-2",)
    assert clock.now == 0


def test_without_waiting_a_member_that_is_gone_holds_nothing_up(rollout, fleet, hosts, clock):
    away(hosts, "server-3", state="ERROR")
    dataclasses.replace(rollout, patience=False).run([fleet.server("server-2")], EVERY)
    assert applied(hosts) == ["server-2"]
    assert clock.now == 0


def test_mysql_takes_changed_passwords_before_any_server_uses_them(rollout, fleet, hosts):
    """Only the primary changes accounts, and it comes last: those before it would be refused with the new ones."""
    rollout.run(fleet.servers, EVERY)
    assert [name for name, _ in hosts.asked("tripod passwords")] == ["server-1"]
    changing = [script.split()[1] for _, script in hosts.asked("tripod") if "status" not in script]
    assert changing == ["passwords", "apply", "apply", "apply"]


def test_also_when_the_primary_itself_gets_no_bundle(rollout, fleet, hosts):
    rollout.run([fleet.server("server-2")], EVERY)
    assert [name for name, _ in hosts.asked("tripod passwords")] == ["server-1"]


def test_passwords_that_mysql_does_not_take_stop_the_roll_out_before_all(rollout, fleet, hosts):
    hosts.answers["tripod passwords"] = CommandResult("server-1", 1, "", "MySQL does not take the password of backup")
    with pytest.raises(
        RolloutStoppedError, match=r"at server-1: .*password of backup. Not touched: server-2, server-3, "
    ):
        rollout.run(fleet.servers, EVERY)
    assert applied(hosts) == []
    dataclasses.replace(rollout, patience=False).run(fleet.servers, EVERY)
    assert applied(hosts) == ["server-2", "server-3", "server-1"]


def test_programs_of_before_do_not_hold_a_roll_out_up(rollout, fleet, hosts, lines):
    hosts.answers["tripod passwords"] = CommandResult("server-1", 2, "", "invalid choice: 'passwords'")
    rollout.run(fleet.servers, EVERY)
    assert applied(hosts) == ["server-2", "server-3", "server-1"]
    assert any("its programs are older" in line for line in lines)


def test_without_a_writer_nobody_changes_an_account(rollout, fleet, hosts):
    away(hosts, *hosts.hosts, state="OFFLINE")
    hosts.on_apply = lambda host, script: (setattr(host, "digest", NEW), back(hosts, host.name))
    rollout.run(fleet.servers, EVERY)
    assert hosts.asked("tripod passwords") == []


def test_another_apply_is_waited_for(rollout, fleet, hosts, lines):
    tries = []

    def locked(server, script):
        tries.append(script)
        if len(tries) < 3:
            return CommandResult(server.name, 75, "", "another apply is running")
        hosts[server.name].digest = NEW
        return CommandResult(server.name, 0, "", "")

    hosts.answers["tripod apply"] = locked
    rollout.run([fleet.server("server-2")], EVERY)
    assert len(tries) == 3
    assert any("another apply" in line for line in lines)


def test_another_apply_that_never_ends(rollout, fleet, hosts):
    hosts.answers["tripod apply"] = CommandResult("server-2", 75, "", "locked")
    with pytest.raises(RolloutStoppedError, match="another apply held its lock for 6"):
        rollout.run([fleet.server("server-2")], EVERY)


def test_a_server_that_cannot_be_reached(rollout, fleet, hosts):
    hosts.answers["tripod apply"] = ServerUnreachableError("server-2", "not managed")
    with pytest.raises(RolloutStoppedError, match="at server-2: not managed"):
        rollout.run(fleet.servers, EVERY)


def test_a_missing_permission_is_said_as_such(rollout, fleet, hosts):
    hosts.answers["tripod apply"] = PermissionDeniedError("ssm:SendCommand", "arn:i", None)
    with pytest.raises(PermissionDeniedError):
        rollout.run(fleet.servers, EVERY)


def test_short():
    assert short(None) == "no bundle"
    assert short(OLD) == "sha256:aaaaaaaaaaaa"
