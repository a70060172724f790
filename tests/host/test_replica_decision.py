"""What a read replica does next, and which reads it takes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.host.states import UUID, gtids, online
from userdata.host import role_check
from userdata.host.database_state import View
from userdata.host.replica_decision import CONNECTING_LIMIT, Kind, Observation, decide
from userdata.host.replica_state import ReplicaState

ALL = {"123": "ONLINE"}
GROUP = {name: online(name, "server-1", ALL) for name in ("server-1", "server-2", "server-3")}

FOLLOWING = ReplicaState(
    "server-4",
    "ON",
    "ON",
    "server-1",
    group_name=UUID,
    executed=gtids(9),
    received=gtids(9),
    provisioned=True,
    lag=0.0,
)
STOPPED = replace(FOLLOWING, receiver="OFF", applier="OFF")
LOOKING = replace(FOLLOWING, receiver="CONNECTING")
EMPTY = ReplicaState("server-4")


def test_one_that_follows_is_left_alone():
    assert decide(Observation(FOLLOWING, None, gtids(9))).kind is Kind.STAY
    assert decide(Observation(FOLLOWING, GROUP, gtids(9))).kind is Kind.STAY


@pytest.mark.parametrize("state", [FOLLOWING, STOPPED, EMPTY])
def test_super_read_only_is_switched_on_before_anything_else(state):
    assert decide(Observation(replace(state, super_read_only=False), GROUP)).kind is Kind.FENCE


@pytest.mark.parametrize("state", [EMPTY, replace(STOPPED, damaged=True)], ids=["empty", "clone cut off"])
def test_an_empty_one_is_cloned_from_the_best_replica(state):
    group = GROUP | {"server-2": online("server-2", "server-1", ALL, lag=3.0)}
    action = decide(Observation(state, group))
    assert (action.kind, action.member) == (Kind.CLONE, "server-3")


def test_the_primary_is_the_donor_only_when_there_is_nobody_else():
    assert decide(Observation(EMPTY, {"server-1": GROUP["server-1"]})).member == "server-1"


def test_after_a_restart_it_follows_the_primary():
    action = decide(Observation(STOPPED, {**GROUP, "server-1": online("server-1", "server-3", ALL)}))
    assert action.kind is Kind.FOLLOW
    assert action.member == "server-3"


@pytest.mark.parametrize("state", [FOLLOWING, LOOKING, STOPPED], ids=["following", "looking", "stopped"])
def test_it_follows_a_group_that_was_begun_anew(state):
    group = {name: replace(one, group_name="another") for name, one in GROUP.items()}
    action = decide(Observation(state, group, gtids(9)))
    assert (action.kind, action.group_name) == (Kind.FOLLOW, "another")
    # Whoever holds what that group did not begin with has another history.
    ahead = replace(state, executed=gtids(11), received=gtids(11))
    assert decide(Observation(ahead, group, gtids(11))).kind is Kind.REFUSE


@pytest.mark.parametrize("state", [STOPPED, EMPTY])
def test_without_a_healthy_group_it_waits(state):
    minority = online("server-1", "server-1", {"1": "ONLINE", "23": "UNREACHABLE"})
    bare = online("server-1", "server-1", {"1": "ONLINE"}, provisioned=False)
    nobodys = online("server-1", "server-1", {"1": "ONLINE"}, last=4, view=View("99:1", ("server-1",)), intended="17")
    for peers in ({}, {"server-1": minority}, {"server-1": bare}, {"server-1": nobodys}):
        assert decide(Observation(state, peers)).kind is Kind.WAIT


def test_what_the_group_never_had_is_refused_and_named():
    astray = replace(STOPPED, executed=gtids(9, errant=2))
    action = decide(Observation(astray, GROUP))
    assert action.kind is Kind.REFUSE
    assert str(gtids(0, errant=2)) in action.reason
    assert "empty its data directory" in action.reason


def test_a_running_one_that_diverged_is_refused_at_the_next_look():
    astray = replace(FOLLOWING, executed=gtids(9, errant=2))
    # The peers' answers may be older than its own state: only what it held a look ago counts.
    assert decide(Observation(astray, GROUP, gtids(9))).kind is Kind.STAY
    assert decide(Observation(astray, GROUP, gtids(9, errant=2))).kind is Kind.REFUSE


def test_one_that_missed_more_than_the_binary_logs_hold_is_cloned():
    error = "the source has purged binary logs containing GTIDs that the replica requires"
    assert decide(Observation(replace(STOPPED, errno=13114, error=error), GROUP)).kind is Kind.CLONE
    # Never when it holds something of its own.
    astray = replace(STOPPED, errno=13114, error=error, executed=gtids(9, errant=1))
    assert decide(Observation(astray, GROUP)).kind is Kind.REFUSE


def test_looking_for_a_source_is_mysqls_business_for_a_while():
    assert decide(Observation(LOOKING, GROUP, connecting=CONNECTING_LIMIT - 1)).kind is Kind.WAIT
    assert decide(Observation(LOOKING, GROUP, connecting=CONNECTING_LIMIT)).kind is Kind.FOLLOW


def test_a_new_password_is_taken_at_once():
    assert decide(Observation(replace(LOOKING, errno=1045, error="Access denied"), GROUP)).kind is Kind.FOLLOW


def test_while_mysqld_is_down_or_stopping_nothing_is_done():
    assert decide(Observation(None)).kind is Kind.WAIT
    assert decide(Observation(STOPPED, GROUP, stopping=True)).kind is Kind.WAIT


@pytest.mark.parametrize(
    "state,reads,reason",
    [
        (FOLLOWING, True, "read replica of server-1"),
        (LOOKING, True, "read replica of server-1"),
        (replace(FOLLOWING, lag=30.0), True, "read replica"),
        (replace(FOLLOWING, lag=30.1), False, "30.1 s behind"),
        (replace(LOOKING, lag=31.0), False, "31.0 s behind"),
        (replace(FOLLOWING, lag=None), False, "not heard"),
        (replace(FOLLOWING, applier="OFF", error="Duplicate entry"), False, "Duplicate entry"),
        (STOPPED, False, "replication is stopped"),
        (replace(FOLLOWING, provisioned=False), False, "without data"),
        (replace(FOLLOWING, super_read_only=False), False, "without super_read_only"),
    ],
)
def test_reads_go_where_the_data_is_fresh_enough(state, reads, reason):
    found, said = role_check.replica_reader(state, 30)
    assert found == reads
    assert reason in said


def test_who_stood_still_is_no_reader():
    assert not role_check.replica_reader(FOLLOWING, 30, steady=False)[0]


def test_a_state_survives_its_journey():
    for state in (EMPTY, FOLLOWING, replace(STOPPED, executed=gtids(3, errant=1), damaged=True)):
        assert ReplicaState.from_json(json.loads(json.dumps(state.to_json()))) == state
    with pytest.raises(ValueError, match="not a read replica's state"):
        ReplicaState.from_json({"server": "x"})
