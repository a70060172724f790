"""What a member does next, case by case."""

from __future__ import annotations

import pytest

from tests.host.states import gtids, offline, online, seen
from userdata.host.database_state import View
from userdata.host.group_decision import CLAIM_EXPIRES, CLAIM_HOLDS, Claim, Kind, Token, decide

S1, S2, S3 = "server-1", "server-2", "server-3"
DONE = Token(S1, complete=True)
FRESH = Token(S1, complete=False)
ALL = {"123": "ONLINE"}
LONE = {"1": "ONLINE"}
NAME = "0a4f8f0e-3a5c-4d0e-9a51-2b6f0c7d1e23"
FIRST = View("99:1", (S1,), S1)


def claim(server=S1, age=1.0, done=False, number=1):
    return Claim(number, server, done, age, NAME)


CASES = {
    # A member by itself.
    "mysqld is down": (seen(None), Kind.WAIT, "does not answer"),
    "being stopped": (seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}), stopping=True), Kind.WAIT, "stopped"),
    "recovering": (seen(offline(S1, state="RECOVERING")), Kind.WAIT, "recovering"),
    "replica": (seen(online(S2, S1, ALL)), Kind.STAY, "replica of server-1"),
    "primary": (seen(online(S1, S1, ALL)), Kind.STAY, "primary"),
    "primary of two of three": (seen(online(S1, S1, {"12": "ONLINE"})), Kind.STAY, "primary"),
    # Few members.
    "alone in a new group": (seen(online(S1, S1, LONE, provisioned=False)), Kind.PROVISION, "accounts"),
    "alone": (seen(online(S1, S1, LONE)), Kind.FENCE, "2 of 3"),
    "alone and fenced": (seen(online(S1, S1, LONE, super_read_only=True), fenced=True), Kind.WAIT, "group of 1"),
    "no longer alone": (
        seen(online(S1, S1, {"12": "ONLINE"}, super_read_only=True), fenced=True),
        Kind.UNFENCE,
        "majority",
    ),
    "read-only by an operator's hand": (seen(online(S1, S1, ALL, super_read_only=True)), Kind.STAY, "primary"),
    "fenced before the accounts were there": (
        seen(online(S1, S1, LONE, super_read_only=True, provisioned=False), fenced=True),
        Kind.UNFENCE,
        "accounts",
    ),
    "cut off": (seen(online(S1, S1, {"1": "ONLINE", "23": "UNREACHABLE"})), Kind.WAIT, "without a majority"),
    "alone in a group that it began": (seen(online(S1, S1, LONE, view=FIRST, intended="99")), Kind.FENCE, "2 of 3"),
    "alone in a group that it came to join": (
        seen(online(S1, S1, LONE, view=FIRST, intended="17")),
        Kind.RESTART,
        "not in the group that it came to join",
    ),
    "alone in a group that it came to join, and empty": (
        seen(online(S1, S1, LONE, view=FIRST, intended="17", provisioned=False)),
        Kind.RESTART,
        "not in the group that it came to join",
    ),
    "alone in a new group, and nothing is known of it": (
        seen(online(S1, S1, LONE, view=FIRST)),
        Kind.RESTART,
        "not in the group that it came to join",
    ),
    "brought into a group that nobody began": (
        seen(online(S2, S1, {"12": "ONLINE"}, view=View("99:2", (S1, S2), S1), intended="17")),
        Kind.RESTART,
        "not in the group that it came to join",
    ),
    "in a group that an older version joined": (
        seen(online(S1, S1, {"12": "ONLINE"}, view=View("99:7", (S1, S2), S1))),
        Kind.STAY,
        "primary",
    ),
    "another group is larger": (
        seen(online(S1, S1, LONE), online(S2, S2, {"23": "ONLINE"}, view=View("18:2", (S2, S3)))),
        Kind.LEAVE,
        "better claim",
    ),
    "another group is as small, its server has a greater number": (
        seen(online(S1, S1, LONE), online(S2, S2, {"2": "ONLINE"})),
        Kind.FENCE,
        "2 of 3",
    ),
    "another group is as small, its server has a lower number": (
        seen(online(S2, S2, {"2": "ONLINE"}), online(S1, S1, LONE)),
        Kind.LEAVE,
        "server-1",
    ),
    # Joining.
    "empty": (seen(offline(S3), online(S1, S1, {"12": "ONLINE"})), Kind.JOIN, "joining server-1, server-2"),
    "was away": (seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"})), Kind.JOIN, "joining"),
    "was expelled": (
        seen(offline(S3, 5, state="ERROR"), online(S1, S1, {"12": "ONLINE"})),
        Kind.RESTART,
        "must not reach the next one",
    ),
    "was expelled and started anew": (seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"})), Kind.JOIN, "joining"),
    "was expelled and is being stopped": (seen(offline(S3, 5, state="ERROR"), stopping=True), Kind.WAIT, "stopped"),
    "could not join once": (
        seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}), failed_starts=1),
        Kind.JOIN,
        "joining",
    ),
    "could not join twice": (
        seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}), failed_starts=2),
        Kind.RESTART,
        "2 times",
    ),
    "nobody joins whom a group was left to by accident": (
        seen(offline(S3, 5), online(S1, S1, LONE, view=FIRST, intended="17")),
        Kind.WAIT,
        "server-1 in a group that cannot decide",
    ),
    "nobody leaves for it either": (
        seen(online(S2, S2, {"2": "ONLINE"}), online(S1, S1, LONE, view=FIRST, intended="17")),
        Kind.FENCE,
        "2 of 3",
    ),
    "a lone group does not hold what this one does": (
        seen(offline(S3, 12), online(S1, S1, LONE)),
        Kind.WAIT,
        "server-1 leads too few members to decide, and does not hold 65ee6802-a77c-55e8-b4fc-5c9bd440e7fd:10-12",
    ),
    "joins a lone group": (seen(offline(S3, 5), online(S1, S1, LONE)), Kind.JOIN, "joining server-1"),
    "the group still counts on it": (seen(offline(S3, 5), online(S1, S1, ALL)), Kind.WAIT, "not yet noticed"),
    "the accounts come first": (
        seen(offline(S3), online(S1, S1, LONE, provisioned=False)),
        Kind.WAIT,
        "creating the accounts",
    ),
    "errant transactions": (
        seen(offline(S3, executed=gtids(5, errant=2)), online(S1, S1, {"12": "ONLINE"})),
        Kind.REFUSE,
        "8f97b61a-e7cc-11f1-b818-be7a05740ef5:1-2",
    ),
    "what the primary has not applied yet is not errant": (
        seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}, last=4, received=gtids(6))),
        Kind.JOIN,
        "joining",
    ),
    "a group without a majority of its own": (
        seen(offline(S3, 5), online(S1, S1, {"1": "ONLINE", "2": "UNREACHABLE"})),
        Kind.WAIT,
        "cannot decide",
    ),
    # The first group.
    "nobody answers": (seen(offline(S1)), Kind.WAIT, "waiting for server-2, server-3"),
    "a majority answers": (seen(offline(S1), offline(S2)), Kind.CONSULT, "parameter store"),
    "first, preferred": (seen(offline(S1), offline(S2), offline(S3), token=None), Kind.CREATE_TOKEN, "never"),
    "first, not preferred": (seen(offline(S2), offline(S1), offline(S3), token=None), Kind.WAIT, "server-1 will"),
    "first, preferred absent": (
        seen(offline(S2), offline(S3), token=None, waited=5.0),
        Kind.WAIT,
        "waiting 30 s for server-1",
    ),
    "first, preferred stays absent": (seen(offline(S2), offline(S3), token=None), Kind.CREATE_TOKEN, "leads"),
    "data was restored to one": (
        seen(offline(S2, 7), offline(S1), offline(S3), token=None),
        Kind.CREATE_TOKEN,
        "leads",
    ),
    "token made": (seen(offline(S1), offline(S2), token=FRESH), Kind.CLAIM, "token"),
    "token made, claimed": (seen(offline(S1), offline(S2), token=FRESH, claim=claim()), Kind.BOOTSTRAP, "token"),
    "crashed after the bootstrap": (
        seen(offline(S1, 3), offline(S2), token=FRESH, claim=claim(age=CLAIM_EXPIRES)),
        Kind.CLAIM,
        "holds all",
    ),
    "owner was re-created, the others have data": (
        seen(offline(S1), offline(S2, 4, view="3:12"), token=FRESH),
        Kind.WAIT,
        "server-2 of 3 members has its data",
    ),
    "somebody else's token": (seen(offline(S2), offline(S1), token=FRESH), Kind.WAIT, "server-1 created the token"),
    "somebody else's token, who is absent": (seen(offline(S2), offline(S3), token=FRESH), Kind.WAIT, "nobody"),
    # After a full outage.
    "outage, most data leads": (
        seen(offline(S2, 9), offline(S1, 8), offline(S3, 7), token=DONE),
        Kind.CLAIM,
        "holds all",
    ),
    "outage, less data waits": (
        seen(offline(S1, 8), offline(S2, 9), offline(S3, 7), token=DONE),
        Kind.WAIT,
        "server-2 will lead",
    ),
    "outage, tie: preferred": (seen(offline(S1, 9), offline(S2, 9), offline(S3, 9), token=DONE), Kind.CLAIM, "holds"),
    "outage, tie: lowest number": (
        seen(offline(S2, 9), offline(S3, 9), offline(S1, 8), token=DONE),
        Kind.CLAIM,
        "holds",
    ),
    "outage, received counts": (
        seen(offline(S2, 5, received=gtids(9)), offline(S1, 8), offline(S3, 8), token=DONE),
        Kind.CLAIM,
        "holds",
    ),
    "outage, one absent": (
        seen(offline(S1, 9), offline(S2, 9), token=DONE, waited=3.0),
        Kind.WAIT,
        "waiting 30 s for server-3",
    ),
    "outage, one stays absent": (seen(offline(S1, 9), offline(S2, 9), token=DONE), Kind.CLAIM, "holds"),
    "outage, diverged": (
        seen(offline(S1, executed=gtids(9, errant=1)), offline(S2, 10), offline(S3, 9), token=DONE),
        Kind.REFUSE,
        "diverged",
    ),
    "outage, one was re-created": (
        seen(offline(S1), offline(S2, 9), offline(S3, 9), token=DONE),
        Kind.WAIT,
        "server-2",
    ),
    "outage, an empty one is no witness": (
        seen(offline(S2, 9), offline(S1), token=DONE),
        Kind.WAIT,
        "server-2 of 3 members has its data, 2 are needed; not answering: server-3",
    ),
    "outage, a damaged one is no witness": (
        seen(offline(S2, 9), offline(S1, 9, damaged=True), token=DONE),
        Kind.WAIT,
        "server-2 of 3",
    ),
    "outage, all data gone": (
        seen(offline(S1), offline(S2), offline(S3), token=DONE),
        Kind.REFUSE,
        "restore a backup",
    ),
    "outage, the last writer is absent": (
        seen(offline(S2, 9, view="5:12"), offline(S3, 8, view="4:123"), token=DONE),
        Kind.WAIT,
        "server-1 may hold newer writes",
    ),
    "outage, the last primary is absent": (
        seen(offline(S2, 9, view="5:123"), offline(S3, 9, view="5:123"), token=DONE),
        Kind.WAIT,
        "server-1 may hold newer writes",
    ),
    "outage, the last primary's data is gone": (
        seen(offline(S1), offline(S2, 9, view="5:123"), offline(S3, 9, view="5:123"), token=DONE),
        Kind.REFUSE,
        "server-1 may hold newer writes",
    ),
    "outage, the last primary is absent, who was replaced in that view": (
        seen(offline(S2, 9, view="5:123"), offline(S1, 9, view="5:213"), token=DONE),
        Kind.WAIT,
        "server-1 will lead",
    ),
    "outage, a replica of the last view is absent": (
        seen(offline(S1, 9, view="5:123"), offline(S2, 9, view="5:123"), token=DONE),
        Kind.CLAIM,
        "holds",
    ),
    "outage, an earlier primary is absent": (
        seen(offline(S2, 9, view="5:23"), offline(S3, 9, view="5:23"), token=DONE),
        Kind.CLAIM,
        "holds",
    ),
    "outage, the last primary is absent and its loss accepted": (
        seen(offline(S2, 9, view="5:123"), offline(S3, 9, view="5:123"), token=DONE, forced=True),
        Kind.CLAIM,
        "operator",
    ),
    "outage, the last view is there": (
        seen(offline(S2, 9, view="5:12"), offline(S1, 9, view="5:12"), token=DONE, waited=99.0),
        Kind.WAIT,
        "server-1 will lead",
    ),
    "outage, an operator accepts the loss": (
        seen(offline(S2, 9, view="5:12"), offline(S3, 8, view="4:123"), token=DONE, forced=True),
        Kind.CLAIM,
        "operator",
    ),
    # Claims.
    "claim is somebody else's": (
        seen(offline(S1, 9), offline(S2, 9), offline(S3, 9), token=DONE, claim=claim(S3)),
        Kind.WAIT,
        "claim 1 of server-3",
    ),
    "claim is mine": (
        seen(offline(S1, 9), offline(S2, 9), offline(S3, 9), token=DONE, claim=claim(age=CLAIM_HOLDS - 1)),
        Kind.BOOTSTRAP,
        "holds",
    ),
    "claim is mine, too old": (
        seen(offline(S1, 9), offline(S2, 9), offline(S3, 9), token=DONE, claim=claim(age=CLAIM_HOLDS)),
        Kind.WAIT,
        "claim 1 of server-1",
    ),
    "claim of an earlier outage": (
        seen(offline(S1, 9), offline(S2, 9), offline(S3, 9), token=DONE, claim=claim(S3, done=True, number=4)),
        Kind.CLAIM,
        "holds",
    ),
    "everybody was cut off": (
        seen(
            offline(S1, 9, state="ERROR"),
            offline(S2, 9, state="ERROR"),
            offline(S3, 9, state="ERROR"),
            token=DONE,
            claim=claim(),
        ),
        Kind.RESTART,
        "with an error",
    ),
    "single member": (seen(offline(S1, 9), token=DONE, configured=(S1,)), Kind.CLAIM, "holds"),
}


@pytest.mark.parametrize("observation,kind,reason", CASES.values(), ids=CASES)
def test_decides(observation, kind, reason):
    action = decide(observation)
    assert (action.kind, reason in action.reason) == (kind, True), action


def test_an_empty_member_is_cloned_and_another_is_not():
    group = online(S1, S1, {"12": "ONLINE"})
    assert decide(seen(offline(S3), group)).clone
    assert decide(seen(offline(S3, 4, damaged=True), group)).clone
    assert not decide(seen(offline(S3, 4), group)).clone


def test_a_group_has_the_name_of_the_claim_that_began_it():
    states = (offline(S1, 9), offline(S2, 9), offline(S3, 9))
    assert decide(seen(*states, token=DONE, claim=claim())).group_name == NAME
    assert decide(seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}, group_name=NAME))).group_name == NAME


def test_who_joins_knows_what_the_views_of_that_group_have_in_common():
    assert decide(seen(offline(S3, 5), online(S1, S1, {"12": "ONLINE"}))).group == "17"


def test_the_next_claim_has_the_next_number():
    states = (offline(S1, 9), offline(S2, 9), offline(S3, 9))
    assert decide(seen(*states, token=DONE)).number == 1
    assert decide(seen(*states, token=DONE, claim=claim(S3, done=True, number=4))).number == 5
    assert decide(seen(*states, token=DONE, claim=claim(S3, age=CLAIM_EXPIRES, number=4))).number == 5
