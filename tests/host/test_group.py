"""The daemon around the decisions: what it remembers between two looks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.host.states import NAMES, offline, online
from userdata.host import group, group_actions
from userdata.host.group_decision import Action, Kind
from userdata.host.system import Result

FACTS = SimpleNamespace(
    server="server-3", members=[SimpleNamespace(name=name) for name in NAMES], preferred_primary="server-1", majority=2
)


class Mysqld:
    """The local mysqld: `refuses` to start Group Replication for so many times."""

    def __init__(self, refuses: int) -> None:
        self.refuses = refuses
        self.done: list[Kind] = []

    def carry_out(self, action: Action, *_: object) -> None:
        self.done.append(action.kind)
        if action.kind is Kind.JOIN and self.refuses:
            self.refuses -= 1
            raise OSError("not configured properly to be an active member of the group")


def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path, mysqld: Mysqld, state: str = "OFFLINE") -> group.Group:
    monkeypatch.setattr(group, "STATE", tmp_path / "state.json")
    monkeypatch.setattr(group, "read_view", lambda: None)
    monkeypatch.setattr(group, "ask_peers", lambda _: {"server-1": online("server-1", "server-1", {"12": "ONLINE"})})
    monkeypatch.setattr(group, "carry_out", mysqld.carry_out)
    monkeypatch.setattr(group.Group, "_local", lambda *_: offline("server-3", 5, state=state))
    return group.Group(lambda: FACTS)


def test_a_mysqld_that_cannot_join_is_started_anew_after_the_second_time(monkeypatch, tmp_path):
    mysqld = Mysqld(refuses=5)
    found = daemon(monkeypatch, tmp_path, mysqld)
    pauses = [found.step() for _ in range(8)]
    join, restart = Kind.JOIN, Kind.RESTART
    assert mysqld.done == [join, join, restart, join, join, restart, join, join]
    # Starting anew mends nothing by itself: the pause grows until a start succeeds.
    assert pauses == [1.0, 2.0, group.EAGER, 4.0, 8.0, group.EAGER, 10.0, group.EAGER]


def test_a_member_that_left_with_an_error_is_started_anew_at_once(monkeypatch, tmp_path):
    mysqld = Mysqld(refuses=0)
    daemon(monkeypatch, tmp_path, mysqld, state="ERROR").step()
    assert mysqld.done == [Kind.RESTART]


def test_starting_anew_is_to_kill_and_says_when_it_cannot(monkeypatch):
    asked = []

    def run(command):
        asked.append(command)
        return Result(1, "Failed to kill unit mysql.service")

    monkeypatch.setattr(group_actions, "run", run)
    with pytest.raises(OSError, match="Failed to kill"):
        group_actions.carry_out(Action(Kind.RESTART, "so"), FACTS)
    assert asked == [("systemctl", "kill", "--signal=SIGKILL", "mysql.service")]
