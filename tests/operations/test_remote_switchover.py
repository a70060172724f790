"""The program that runs on the primary, with a group that answers like MySQL's tables."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pymysql
import pytest

from operations.remote import switchover
from operations.remote.switchover import Member, SwitchoverError, Watch, check, role_check, wait_for_queue


class Group:
    """Answers the program's queries; `queues` are the sizes of the target's queue, poll by poll."""

    def __init__(self, rows=None, own="u1", queues=(0,)):
        self.rows = rows or [
            ["u1", "server-1", "ONLINE", "PRIMARY"],
            ["u2", "server-2", "ONLINE", "SECONDARY"],
            ["u3", "10.20.0.12", "RECOVERING", "SECONDARY"],
        ]
        self.own, self.queues = own, list(queues)
        self.read_only = 0
        self.statements: list[tuple[str, tuple]] = []

    def query(self, sql, arguments):
        self.statements.append((sql, tuple(arguments)))
        if "server_uuid" in sql:
            return [(self.own,)]
        if "replication_group_members" in sql:
            queue = self.queues.pop(0) if len(self.queues) > 1 else self.queues[0]
            return [(*row, queue if row[0] == "u2" else 0) for row in self.rows]
        if "super_read_only" in sql:
            return [(self.read_only,)]
        if "set_as_primary" in sql:
            self.read_only = 1
            return [("Primary server switched to: u2",)]
        raise AssertionError(sql)

    @property
    def switched(self):
        return [arguments for sql, arguments in self.statements if "set_as_primary" in sql]


def test_finds_itself_and_the_target_by_name_or_address():
    rows = Group().rows
    rows[2][2] = "ONLINE"
    own, target = check(Group(rows).query, "server-3", "10.20.0.12")
    assert (own.uuid, target.uuid) == ("u1", "u3")
    assert check(Group(rows).query, "server-2", "10.20.0.11")[1].uuid == "u2"


@pytest.mark.parametrize(
    "own,name,address,why",
    [
        ("u2", "server-3", "10.20.0.12", "not the primary any more"),
        ("gone", "server-2", "10.20.0.11", "not the primary any more"),
        ("u1", "server-1", "10.20.0.10", "server-1 is the primary already"),
        ("u1", "server-3", "10.20.0.12", "server-3 is RECOVERING"),
        ("u1", "server-4", "10.20.0.13", "server-4 is not a member"),
        # One name must not be taken for another that begins alike.
        ("u1", "server-20", "10.20.0.29", "server-20 is not a member"),
    ],
)
def test_what_makes_no_sense(own, name, address, why):
    with pytest.raises(SwitchoverError, match=why):
        check(Group(own=own).query, name, address)


def test_a_primary_that_lost_its_group():
    group = Group()
    group.rows[0][2] = "ERROR"
    with pytest.raises(SwitchoverError, match="not the primary any more"):
        check(group.query, "server-2", "10.20.0.11")


TARGET = Member("u2", "server-2", "ONLINE", "SECONDARY", 0)


def test_waits_for_the_queue():
    slept = []
    wait_for_queue(Group(queues=[500, 101, 100]).query, TARGET, 100, 60, slept.append)
    assert len(slept) == 2


def test_a_queue_that_never_empties():
    with pytest.raises(SwitchoverError, match="still has 500 transactions"):
        wait_for_queue(Group(queues=[500]).query, TARGET, 100, 0.05, lambda _: time.sleep(0.02))


def test_a_target_that_leaves_while_it_is_waited_for():
    group = Group(queues=[500])
    with pytest.raises(SwitchoverError, match="left the group"):
        wait_for_queue(group.query, TARGET, 100, 60, lambda _: group.rows[1].__setitem__(2, "ERROR"))


def test_the_gap_is_between_both_ends():
    closed, opened = threading.Event(), threading.Event()
    watch = Watch(closed.is_set, opened.is_set)
    watch.start()
    closed.set()
    threading.Timer(0.2, opened.set).start()
    gap = watch.finish(5)
    assert gap is not None
    assert 150 < gap < 10_000


def test_a_new_primary_that_was_quicker_is_no_gap():
    closed = threading.Event()
    watch = Watch(closed.is_set, lambda: True)
    watch.start()
    threading.Timer(0.05, closed.set).start()
    assert watch.finish(5) == 0


def test_an_end_that_was_not_seen():
    watch = Watch(lambda: True, lambda: False)
    watch.start()
    assert watch.finish(0.05) is None


def test_a_watch_that_loses_its_connection_says_unknown():
    def lost():
        raise pymysql.OperationalError(2013, "Lost connection")

    watch = Watch(lost, lambda: True)
    watch.start()
    assert watch.finish(0.2) is None
    assert watch.error is not None


def test_role_check_is_200_and_nothing_else(monkeypatch):
    status = [503]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/writer"
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(switchover, "ROLE_CHECK_PORT", server.server_port)
    passes = role_check("127.0.0.1")
    try:
        assert not passes()
        status[0] = 200
        assert passes()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not passes()


@pytest.fixture
def connected(monkeypatch):
    group = Group()
    monkeypatch.setattr(switchover, "connect", lambda: (group.query, lambda: None))
    monkeypatch.setattr(switchover, "role_check", lambda address: lambda: bool(group.read_only))
    return group


def test_the_whole(connected, capsys):
    assert switchover.main(["server-2", "10.20.0.11", "100", "60", "5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["old"], report["new"], report["error"]) == ("u1", "u2", None)
    assert report["gap_ms"] is not None
    assert connected.switched == [("u2", 5)]


def test_a_refusal_is_reported_and_nothing_is_switched(connected, capsys):
    assert switchover.main(["server-3", "10.20.0.12", "100", "60", "5"]) == 1
    assert "RECOVERING" in json.loads(capsys.readouterr().out)["error"]
    assert connected.switched == []


def test_an_error_of_mysql_is_reported(monkeypatch, capsys):
    def refuse():
        raise pymysql.OperationalError(2002, "Can't connect")

    monkeypatch.setattr(switchover, "connect", refuse)
    assert switchover.main(["server-2", "10.20.0.11", "100", "60", "5"]) == 1
    assert "Can't connect" in json.loads(capsys.readouterr().out)["error"]
