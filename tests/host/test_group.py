"""The daemon around the decisions: what it remembers between two looks."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.host.states import NAMES, offline, online, seen
from userdata.host import backup_mysqld, backup_replace, group, group_actions
from userdata.host.database_state import View
from userdata.host.group_decision import Action, Kind
from userdata.host.group_memory import intended, read_state
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


class Primary:
    """A primary, alone at first, and its mysqld; `daemon` starts the program that watches it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
        self.facts = SimpleNamespace(**{**vars(FACTS), "server": "server-1"})
        self.members = "1"
        self.read_only = False
        self.killed = False
        monkeypatch.setattr(group, "STATE", tmp_path / "state.json")
        monkeypatch.setattr(group, "read_view", lambda: None)
        monkeypatch.setattr(group, "write_view", lambda _: None)
        monkeypatch.setattr(group, "ask_peers", lambda _: {})
        monkeypatch.setattr(group, "carry_out", self.carry_out)

    def daemon(self) -> group.Group:
        found = group.Group(lambda: self.facts)
        found._mysqld = SimpleNamespace(look=self.look, connection=None)
        return found

    def look(self, *_: object):
        return online("server-1", "server-1", {self.members: "ONLINE"}, super_read_only=self.read_only)

    def carry_out(self, action: Action, *_: object) -> None:
        self.read_only = action.kind is Kind.FENCE
        if self.killed:
            raise SystemExit


@pytest.mark.parametrize("killed", [False, True], ids=["afterwards", "while it fences"])
def test_a_fence_is_lifted_by_a_daemon_that_was_started_anew(monkeypatch, tmp_path, killed):
    primary = Primary(monkeypatch, tmp_path)
    primary.killed = killed
    with suppress(SystemExit):
        primary.daemon().step()
    assert primary.read_only
    primary.killed, primary.members = False, "12"
    again = primary.daemon()
    again.step()
    assert not primary.read_only
    again.step()
    assert json.loads((tmp_path / "state.json").read_text())["fenced"] is False


def test_a_fence_that_failed_is_not_lifted_from_an_operators_own(monkeypatch, tmp_path):
    primary = Primary(monkeypatch, tmp_path)
    monkeypatch.setattr(group, "carry_out", lambda *_: (_ for _ in ()).throw(OSError("a lock")))
    found = primary.daemon()
    found.step()
    primary.members = "12"
    found.step()
    primary.read_only = True
    found.step()
    assert primary.read_only


def test_a_member_knows_its_group_also_after_a_new_start(monkeypatch, tmp_path):
    """What it began counts from its first view on; what it came to join, by the word of those in it."""
    facts = SimpleNamespace(**{**vars(FACTS), "server": "server-1"})
    there = SimpleNamespace(local=offline("server-1", 5), done=[])
    kept: list[View] = []
    monkeypatch.setattr(group, "STATE", tmp_path / "state.json")
    monkeypatch.setattr(group, "read_view", View)
    monkeypatch.setattr(group, "write_view", kept.append)
    monkeypatch.setattr(group, "ask_peers", lambda _: {"server-2": online("server-2", "server-2", {"23": "ONLINE"})})
    monkeypatch.setattr(group, "carry_out", lambda action, _: there.done.append(action.kind))

    def daemon() -> group.Group:
        found = group.Group(lambda: facts)
        found._mysqld = SimpleNamespace(look=lambda *_: replace(there.local, intended=found._intended), connection=None)
        return found

    daemon().step()
    assert (there.done, intended(read_state(tmp_path / "state.json"))) == ([Kind.JOIN], "17")
    # Whom it joined are gone, and it is alone in a group that nobody began.
    there.local = online("server-1", "server-1", {"1": "ONLINE"}, view=View("99:1", ("server-1",), "server-1"))
    daemon().step()
    assert there.done == [Kind.JOIN, Kind.RESTART]
    assert not kept
    # As that one it begins another on purpose.
    monkeypatch.setattr(group, "ask_peers", lambda _: {})
    found = daemon()
    found._act(Action(Kind.BOOTSTRAP, "so"), facts, seen(there.local))
    found.step()
    assert there.done[-2:] == [Kind.BOOTSTRAP, Kind.FENCE]
    assert intended(read_state(tmp_path / "state.json")) == "99"
    assert not kept


@pytest.mark.parametrize("runs, there", [(True, True), (True, False), (False, True)])
def test_leading_is_permitted_where_the_daemon_runs_and_else_refused_in_words(
    monkeypatch, tmp_path, capsys, runs, there
):
    force = tmp_path / "run/lead"
    if there:
        force.parent.mkdir()
    monkeypatch.setattr(group, "FORCE", force)
    monkeypatch.setattr(group, "run", lambda *_, **__: Result(0 if runs else 3))
    code = group.main(["lead", "--accept-loss"])
    told = capsys.readouterr()
    assert (code, force.exists()) == ((0, True) if runs and there else (1, False))
    assert ("systemctl restart tripod-group.service" in told.err) is (code == 1)


def test_data_that_are_put_aside_take_the_permission_to_lead_with_them(monkeypatch, tmp_path):
    force = tmp_path / "lead"
    force.touch()
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(backup_replace, "FORCE", force)
    monkeypatch.setattr(backup_replace, "DATA", tmp_path / "data")
    monkeypatch.setattr(backup_replace, "VIEW_PATH", tmp_path / "view.json")
    monkeypatch.setattr(backup_mysqld, "DIRECTORY", tmp_path / "backup")
    monkeypatch.setattr(backup_replace, "stop", lambda _: None)
    backup_replace.discard(FACTS)
    assert not force.exists()
