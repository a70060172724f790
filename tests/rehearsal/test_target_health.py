"""How a target comes to be healthy or not, and which one a new connection goes to."""

from __future__ import annotations

from collections import Counter

import pytest

from rehearsal.target_health import HealthCheck, State, TargetHealth, choose, worst

CHECK = HealthCheck(healthy=3, unhealthy=2)
A, B, C = ("10.20.0.10", 443), ("10.20.16.11", 443), ("10.20.32.12", 443)


@pytest.mark.parametrize(
    "checks, state",
    [
        ("", State.INITIAL),
        ("+", State.HEALTHY),
        ("-", State.INITIAL),
        ("--", State.UNHEALTHY),
        ("+-", State.HEALTHY),
        ("+-+-", State.HEALTHY),
        ("+--", State.UNHEALTHY),
        ("+--++", State.UNHEALTHY),
        ("+--++-++", State.UNHEALTHY),
        ("+--+++", State.HEALTHY),
    ],
)
def test_thresholds(checks, state):
    health = TargetHealth(CHECK)
    for one in checks:
        before = health.state
        assert health.saw(well=one == "+") == (health.state is not before)
    assert health.state is state


@pytest.mark.parametrize("matcher, good, bad", [("200", 200, 204), ("200,202", 202, 201), ("200-399", 308, 503)])
def test_which_answers_are_good(matcher, good, bad):
    check = HealthCheck(matcher=matcher)
    assert check.matches(good)
    assert not check.matches(bad)


def spread(states):
    return Counter(choose(states, ("198.51.100.7", port)) for port in range(3000))


def test_new_connections_are_spread_over_the_healthy():
    found = spread({A: State.HEALTHY, B: State.HEALTHY, C: State.UNHEALTHY})
    assert set(found) == {A, B}
    assert min(found.values()) > 1200


def test_one_flow_stays_at_its_target():
    assert len({choose({A: State.HEALTHY, B: State.HEALTHY}, ("198.51.100.7", 1)) for _ in range(10)}) == 1


def test_it_fails_open_when_no_target_is_healthy():
    assert set(spread({A: State.UNHEALTHY, B: State.UNHEALTHY, C: State.INITIAL})) == {A, B}


def test_a_target_that_was_never_checked_gets_nothing():
    assert choose({A: State.INITIAL}, ("198.51.100.7", 1)) is None
    assert choose({}, ("198.51.100.7", 1)) is None


def test_nodes_that_differ():
    assert worst([State.HEALTHY, State.UNHEALTHY, State.INITIAL]) is State.UNHEALTHY
    assert worst([State.HEALTHY, State.INITIAL]) is State.INITIAL
    assert worst([]) is State.UNUSED
