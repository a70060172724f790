"""What a load balancer decides, as tables and invariants; keepalived's FIFO; what is told."""

from __future__ import annotations

import json
import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.floating import Clock, M, S
from userdata.host.floating_address import notify
from userdata.host.floating_address_decision import (
    Action,
    Place,
    View,
    Vrrp,
    bonus,
    decide,
    error_pause,
    retake_pause,
)
from userdata.host.floating_address_status import Status, floating_address_status, save
from userdata.host.vrrp_events import CLOSED_SECONDS, Holder, Notifications, parse


@pytest.mark.parametrize(
    "view,action",
    [
        (View(S, Place.HERE), Action.STAND_DOWN),
        (View(S, Place.NOBODY, claimed=False), Action.STAND_DOWN),
        (View(Vrrp.FAULT, Place.NOBODY), Action.STAND_DOWN),
        (View(Vrrp.STOPPED, Place.PEER), Action.STAND_DOWN),
        (View(Vrrp.UNKNOWN, Place.PEER, claimed=False), Action.STAND_DOWN),
        (View(M, Place.HERE), Action.HOLD),
        (View(M, Place.HERE, claimed=False), Action.HOLD),
        (View(M, Place.PEER, claimed=False), Action.ASSOCIATE),
        (View(M, Place.PEER, claimed=False, outranked=True, peer_serves=True), Action.ASSOCIATE),
        (View(M, Place.UNKNOWN, claimed=False), Action.ASSOCIATE),
        (View(M, Place.UNKNOWN), Action.LOOK),
        (View(M, Place.PEER, settling=True), Action.SETTLE),
        (View(M, Place.NOBODY), Action.ASSOCIATE),
        (View(M, Place.STRANGER), Action.ASSOCIATE),
        (View(M, Place.PEER), Action.ASSOCIATE),
        (View(M, Place.PEER, outranked=True), Action.ASSOCIATE),
        (View(M, Place.PEER, outranked=True, peer_serves=True), Action.YIELD),
        (View(M, Place.PEER, peer_serves=True), Action.ASSOCIATE),
        (View(M, Place.NOBODY, heal=False), Action.LOOK),
        (View(M, Place.PEER, claimed=False, heal=False), Action.ASSOCIATE),
    ],
)
def test_decisions(view, action):
    assert decide(view) is action


FLAGS = ("claimed", "settling", "outranked", "peer_serves", "heal")
EVERY_VIEW = [
    View(vrrp, place, **dict(zip(FLAGS, flags, strict=True)))
    for vrrp, place, flags in product(Vrrp, Place, product((True, False), repeat=len(FLAGS)))
]


def test_only_a_master_ever_touches_the_address():
    for view in EVERY_VIEW:
        if decide(view) is not Action.STAND_DOWN:
            assert view.vrrp is M
        if decide(view) is Action.ASSOCIATE:
            assert view.place is not Place.HERE


def test_of_two_masters_one_gives_way():
    """Whatever else they see, the higher ranking one never yields, so they cannot both wait for each other."""
    for view in EVERY_VIEW:
        if decide(view) is Action.YIELD:
            assert view.outranked
            assert view.peer_serves


def test_who_is_cut_off_or_yields_has_no_bonus():
    for action in Action:
        assert bonus(action, unreachable=True, holder_bonus=40) == 0
    assert bonus(Action.HOLD, unreachable=False, holder_bonus=40) == 40
    assert bonus(Action.YIELD, unreachable=False, holder_bonus=40) == 0
    assert bonus(Action.STAND_DOWN, unreachable=False, holder_bonus=40) == 0


@given(st.integers(0, 500))
def test_pauses_grow_and_are_bounded(number):
    assert retake_pause(number) <= retake_pause(number + 1) <= 60
    assert 0.1 <= error_pause(number) <= error_pause(number + 1) <= 5
    assert retake_pause(0) == 0


# -- keepalived's FIFO


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "vrrp"
    os.mkfifo(path)
    return path


def writer(path):
    """As keepalived opens it."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def line(word, priority=200):
    return f'INSTANCE "floating_address" {word} {priority}\n'.encode()


def test_lines_of_others_are_passed_over():
    lines = ['GROUP "floating_address" MASTER 0', 'INSTANCE "other" MASTER 1', "", "INSTANCE", 'INSTANCE "x"',
             'INSTANCE "floating_address" NONSENSE 3', 'INSTANCE "floating_address" FAULT 3']  # fmt: skip
    assert list(parse(lines, "floating_address")) == [("FAULT", Vrrp.FAULT)]


def test_the_newest_transition_counts(fifo):
    clock = Clock()
    reader = Notifications(fifo, "floating_address", clock)
    keepalived = writer(fifo)
    assert reader.read() == []
    assert reader.state is Vrrp.UNKNOWN
    os.write(keepalived, line("BACKUP") + line("MASTER") + line("BACKUP")[:20])
    assert reader.read() == ["BACKUP", "MASTER"]
    assert reader.state is M
    os.write(keepalived, line("BACKUP")[20:])
    assert reader.read() == ["BACKUP"]
    assert reader.state is S
    os.close(keepalived)
    assert reader.read() == []
    assert reader.state is S, "it may be a reload"
    assert reader.patience < CLOSED_SECONDS
    clock.now += CLOSED_SECONDS + 0.1
    assert reader.read() == []
    assert reader.state is Vrrp.STOPPED
    reader.wait(0.0)
    again = writer(fifo)
    os.write(again, line("BACKUP"))
    reader.wait(5)
    reader.read()
    assert reader.state is S
    os.close(again)
    reader.close()


def test_what_was_said_while_nobody_read_is_not_lost(fifo):
    keepalived = writer(fifo)
    os.write(keepalived, line("BACKUP") + line("MASTER"))
    reader = Notifications(fifo, "floating_address")
    reader.read()
    assert reader.state is M
    os.close(keepalived)
    reader.close()


def test_a_reported_priority_answers_a_question_where_nothing_is_known(fifo):
    reader = Notifications(fifo, "floating_address")
    keepalived = writer(fifo)
    os.write(keepalived, line("MASTER_PRIORITY"))
    reader.read()
    assert (reader.state, reader.doubtful) == (M, True), "asked again, in case a reload was going on"
    os.write(keepalived, line("MASTER_PRIORITY"))
    reader.read()
    assert (reader.state, reader.doubtful) == (M, False)
    os.close(keepalived)
    reader.close()


def test_a_reload_of_a_master_leaves_it_master(fifo):
    """What keepalived 2.3 does then: it closes the FIFO, opens it, calls itself backup and is master all the time."""
    clock = Clock()
    reader = Notifications(fifo, "floating_address", clock)
    keepalived = writer(fifo)
    os.write(keepalived, line("BACKUP") + line("MASTER"))
    reader.read()
    os.close(keepalived)
    reader.read()
    keepalived = writer(fifo)
    clock.now += 0.02
    os.write(keepalived, line("BACKUP_PRIORITY", 140))
    reader.read()
    assert (reader.state, reader.doubtful) == (M, True)
    os.write(keepalived, line("MASTER_PRIORITY", 240))
    reader.read()
    clock.now += 60
    reader.read()
    assert (reader.state, reader.doubtful, reader.patience) == (M, False, float("inf"))
    os.close(keepalived)
    reader.close()


def test_a_contradiction_that_is_repeated_is_believed(fifo):
    clock = Clock()
    reader = Notifications(fifo, "floating_address", clock)
    keepalived = writer(fifo)
    os.write(keepalived, line("MASTER") + line("BACKUP_PRIORITY"))
    reader.read()
    assert (reader.state, reader.doubtful) == (M, True)
    clock.now += reader.patience
    os.write(keepalived, line("BACKUP_PRIORITY"))
    reader.read()
    assert reader.state is S
    os.close(keepalived)
    reader.close()


def test_a_question_changes_the_priority_by_one_and_no_bonus(tmp_path):
    holder = Holder(tmp_path / "holder")
    assert holder.read() == 0
    for value, first, second in ((0, 1, 0), (40, 41, 40)):
        holder.write(value)
        holder.ask()
        assert holder.read() == first
        holder.ask()
        assert holder.read() == second


# -- what is told


def test_status(tmp_path):
    known = tmp_path / "floating-address.json"
    assert floating_address_status(known, tmp_path) is None
    known.write_text(json.dumps({"runtime": "/run/tripod-address"}))
    said_nothing = floating_address_status(known, tmp_path)
    assert said_nothing["vrrp"] == "UNKNOWN"
    assert said_nothing["problems"]
    file = tmp_path / "run/tripod-address/status.json"
    file.parent.mkdir(parents=True)

    def problems(**fields):
        fine = {"vrrp": "MASTER", "here": True, "at": "server-1", "public_ip": "203.0.113.10", "action": "hold"}
        save(Status(**{**fine, "error": None, **fields}), file)
        return floating_address_status(known, tmp_path)["problems"]

    assert problems() == []
    assert problems(vrrp="BACKUP", here=False) == []
    assert "address is at server-2" in problems(here=False, at="server-2")[0]
    assert "VRRP is FAULT" in problems(vrrp="FAULT")[0]
    assert "no answer" in problems(error="DescribeAddresses: no answer")[0]
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "said_at": value["said_at"] - 60}))
    assert "nothing for 60 s" in floating_address_status(known, tmp_path)["problems"][0]


def test_systemd_is_told_in_its_own_words(tmp_path, monkeypatch):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert listener.recv(64) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
