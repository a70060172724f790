"""The role check over HTTP, with a mysqld that says what the test wants, or nothing."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pymysql
import pytest

from tests.host.states import NAMES, gtids, offline, online
from userdata.host import role_check
from userdata.host.database import Database, Member
from userdata.host.database_state import DatabaseState, View
from userdata.host.role_check import CACHE, Probe, Server, reader, writer

ALL = {"123": "ONLINE"}
MEMBERS = tuple(Member(name, f"127.0.0.{number}", number) for number, name in enumerate(NAMES, 1))
DATABASE = Database(
    "test", "eu-west-1", "server-1", MEMBERS, "server-1", "/tripod/test/group", 3306, 33061, 0, "ca", "secrets"
)


@pytest.mark.parametrize(
    "state,writes,reads,reason",
    [
        (online("server-1", "server-1", ALL), True, True, "primary"),
        (online("server-1", "server-1", {"12": "ONLINE", "3": "UNREACHABLE"}), True, True, "primary"),
        (online("server-2", "server-1", ALL), False, True, "replica of server-1"),
        (online("server-1", "server-1", ALL, super_read_only=True), False, True, "read-only"),
        (online("server-1", "server-1", {"1": "ONLINE", "23": "UNREACHABLE"}), False, False, "1 members online"),
        (online("server-1", "server-1", {"1": "ONLINE"}), False, False, "2 needed"),
        (online("server-1", "server-1", {"1": "ONLINE", "2": "RECOVERING"}), False, False, "2 needed"),
        (online("server-1", "server-1", ALL, intended="17"), True, True, "primary"),
        (online("server-1", "server-1", ALL, intended="16"), False, False, "came to join"),
        (online("server-1", "server-1", ALL, view=View("99:1", NAMES)), False, False, "came to join"),
        (offline("server-1", 5), False, False, "OFFLINE"),
        (offline("server-1", 5, state="ERROR"), False, False, "ERROR"),
        (offline("server-1", 5, state="RECOVERING"), False, False, "RECOVERING"),
    ],
)
def test_judges(state, writes, reads, reason):
    assert writer(state, 2)[0] == writes
    assert reader(state, 2)[0] == reads
    assert reason in writer(state, 2)[1]


def test_a_late_replica_is_no_reader():
    assert reader(online("server-2", "server-1", ALL, lag=4.9), 2)[0]
    assert reader(online("server-2", "server-1", ALL, lag=5.1), 2) == (False, "5.1 s behind the primary")


def test_who_stood_still_is_neither():
    state = online("server-1", "server-1", ALL)
    assert "stood still" in writer(state, 2, steady=False)[1]
    assert not reader(state, 2, steady=False)[0]


@pytest.mark.parametrize(
    "state",
    [
        offline("server-1"),
        offline("server-2", executed=gtids(4, errant=2), view="7:123", damaged=True),
        online("server-3", "server-1", ALL, received=gtids(11), lag=1.5, view=View("17:9", NAMES), intended="17"),
    ],
)
def test_a_state_survives_its_journey(state):
    assert DatabaseState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize("body", [{}, {"server": "x"}, [], {**offline("server-1").to_json(), "view": None}])
def test_nonsense_is_no_state(body):
    with pytest.raises(ValueError, match="not a database state"):
        DatabaseState.from_json(body)


class FakeConnection:
    closed = False

    def __init__(self, mysqld):
        self.mysqld = mysqld

    def row(self, statement):
        assert "super_read_only" in statement
        if self.mysqld.faults:
            raise self.mysqld.faults.pop(0)
        return {"closed": int(self.mysqld.state.super_read_only)}

    def close(self):
        self.closed = True


class Mysqld:
    """What observe() would see; `fault` is raised instead. Counts connections and questions."""

    def __init__(self, monkeypatch):
        self.state = online("server-1", "server-1", ALL)
        self.faults = []
        self.connections = 0
        self.questions = 0
        self.seconds = 0.0
        monkeypatch.setattr(role_check, "observe", self.observe)
        monkeypatch.setattr(role_check, "read_view", View)

    def connect(self):
        self.connections += 1
        return FakeConnection(self)

    def observe(self, connection, database, view, intended):
        assert not connection.closed
        self.questions += 1
        time.sleep(self.seconds)
        if self.faults:
            raise self.faults.pop(0)
        return self.state


@pytest.fixture
def mysqld(monkeypatch):
    return Mysqld(monkeypatch)


@pytest.fixture
def probe(mysqld):
    return Probe(lambda: DATABASE, mysqld.connect)


@pytest.fixture
def ask(probe):
    server = Server(("127.0.0.1", 0), probe, lambda: DATABASE)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def get(path, method="GET"):
        connection = http.client.HTTPConnection(*server.server_address, timeout=5)
        connection.request(method, path)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    yield get
    server.shutdown()
    server.server_close()


def timeout():
    """As PyMySQL reports it: an error of its own around the socket's."""
    error = pymysql.OperationalError(2013, "Lost connection to MySQL server during query (timed out)")
    error.__context__ = TimeoutError("timed out")
    return error


def test_answers(ask, mysqld):
    assert ask("/writer") == (200, {"ok": True, "reason": "primary", "server": "server-1"})
    assert ask("/reader", "OPTIONS")[0] == 200
    assert DatabaseState.from_json(ask("/state")[1]) == mysqld.state
    assert ask("/")[0] == 404


def test_one_question_serves_many(ask, mysqld):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask("/writer")[0])) for _ in range(20)]
    mysqld.seconds = 0.05
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 20
    assert mysqld.questions < 10
    assert mysqld.connections == 1


def test_a_change_is_seen_when_the_answer_is_stale(ask, mysqld):
    assert ask("/writer")[0] == 200
    mysqld.state = offline("server-1", state="ERROR")
    time.sleep(CACHE * 1.1)
    assert ask("/writer") == (503, {"ok": False, "reason": "member is ERROR", "server": "server-1"})


def test_a_known_no_is_held_back_until_it_becomes_a_yes(ask, mysqld, monkeypatch):
    monkeypatch.setattr(role_check, "KNOWN", 1.0)
    monkeypatch.setattr(role_check, "HOLD", 20.0)
    mysqld.state = offline("server-1", state="RECOVERING")
    first = time.monotonic()
    assert ask("/writer")[0] == 503
    assert ask("/writer")[0] == 503, "HAProxy needs two to take a server out"
    assert time.monotonic() - first < 1
    time.sleep(1.1)
    answers = []
    thread = threading.Thread(target=lambda: answers.append((ask("/writer"), time.monotonic())))
    thread.start()
    time.sleep(0.3)
    assert not answers, "held back"
    assert ask("/reader")[0] == 503, "others do not wait for it"
    mysqld.state, elected = online("server-1", "server-1", ALL), time.monotonic()
    thread.join()
    (answer, at) = answers[0]
    assert answer[0] == 200
    assert at - elected < 5
    mysqld.state = offline("server-1", state="ERROR")
    time.sleep(CACHE * 1.1)
    lost = time.monotonic()
    assert ask("/writer")[0] == 503
    assert time.monotonic() - lost < 5, "the first no after a yes comes at once"


def test_a_known_no_is_not_held_back_for_ever(ask, mysqld, monkeypatch):
    monkeypatch.setattr(role_check, "KNOWN", 0.0)
    monkeypatch.setattr(role_check, "HOLD", 0.2)
    mysqld.faults = [pymysql.OperationalError(2003, "refused")] * 50
    assert ask("/writer")[0] == 503
    began = time.monotonic()
    assert ask("/writer")[0] == 503
    assert 0.2 <= time.monotonic() - began < 3


def test_who_waits_asks_little_and_survives_a_restart(ask, probe, mysqld, monkeypatch):
    monkeypatch.setattr(role_check, "KNOWN", 0.0)
    monkeypatch.setattr(role_check, "HOLD", 1.0)
    mysqld.state = offline("server-1")
    ask("/writer")
    questions = mysqld.questions
    ask("/writer")
    assert mysqld.questions - questions <= 1, "one look at the state a second question, the rest is one variable"
    mysqld.faults = [pymysql.OperationalError(2006, "MySQL server has gone away")]
    assert not probe.takes_writes()
    assert not probe.takes_writes(), "without a connection nobody knows"
    mysqld.state = online("server-1", "server-1", ALL)
    assert probe.ask(0) == mysqld.state
    time.sleep(role_check.LOOK * 1.1)
    assert probe.takes_writes()
    assert mysqld.connections == 2


def test_who_waits_looks_oftener_once_a_member_does_not_answer(probe, mysqld):
    mysqld.state = online("server-1", "server-3", ALL)
    probe.ask(0)
    assert probe.look == role_check.LOOK
    mysqld.state = online("server-1", "server-3", {"12": "ONLINE", "3": "UNREACHABLE"})
    probe.ask(0)
    assert probe.look == role_check.NEAR < role_check.LOOK
    mysqld.faults = [pymysql.OperationalError(2003, "refused")] * 2
    probe.ask(0)
    assert probe.look == role_check.LOOK, "of a mysqld that does not answer nothing is expected"


def test_a_client_that_left_is_nothing_to_write_about(probe, capfd):
    server = Server(("127.0.0.1", 0), probe, lambda: DATABASE)
    with server:
        for error, said in ((BrokenPipeError(), False), (KeyError("x"), True)):
            try:
                raise error
            except (OSError, KeyError):
                server.handle_error(None, ("127.0.0.1", 1))
            assert ("Traceback" in capfd.readouterr().err) is said


def test_a_restarted_mysqld_is_asked_again_at_once(probe, mysqld):
    probe.ask()
    time.sleep(CACHE * 1.1)
    mysqld.faults = [pymysql.OperationalError(2006, "MySQL server has gone away")]
    assert probe.ask() == mysqld.state
    assert mysqld.connections == 2
    assert probe.steady


def test_a_hung_mysqld_is_no_writer_and_not_at_once_again(ask, probe, mysqld):
    assert ask("/writer")[0] == 200
    time.sleep(CACHE * 1.1)
    mysqld.faults = [timeout()]
    status, body = ask("/writer")
    assert (status, body["ok"]) == (503, False)
    assert "does not answer" in body["reason"]
    time.sleep(CACHE * 1.1)
    assert "stood still" in ask("/writer")[1]["reason"]
    assert ask("/state")[0] == 200


def test_a_machine_that_stood_still_is_no_writer(probe, mysqld, monkeypatch):
    now = 100.0
    monkeypatch.setattr(role_check, "_now", lambda: now)
    for later, steady in ((0.5, True), (0.5, True), (4.0, False), (5.0, False)):
        now += later
        probe.ask()
        assert probe.steady == steady
        if later > 4.5:
            break
    for _ in range(13):
        now += 0.5
        probe.ask()
    assert probe.steady


def test_waiting_for_a_slow_answer_is_bounded(probe, mysqld, monkeypatch):
    monkeypatch.setattr(role_check, "QUERY_SECONDS", 0.05)
    mysqld.seconds = 2.0
    slow = threading.Thread(target=probe.ask)
    slow.start()
    while not mysqld.questions:
        time.sleep(0.001)
    began = time.monotonic()
    assert probe.ask() == "mysqld is slow to answer"
    assert time.monotonic() - began < 1.5
    slow.join()
