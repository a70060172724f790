"""The live page: what it collects, what it shows, and who may press its buttons."""

from __future__ import annotations

import json
import re

import pytest

from rehearsal.page import sources
from rehearsal.page.actions import Actions
from rehearsal.page.observer import FRESH, STATUS_AFTER_EVENT, STATUS_EVERY, Observer
from rehearsal.page.site import TOKEN_HEADER, application
from rehearsal.page.timeline import KEPT, Timeline
from rehearsal.shell import RehearsalError
from topology.build import build_topology
from topology.settings import Settings
from userdata.host.database_state import DatabaseState
from userdata.host.gtid import GtidSet

UUID = "6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11"
CSV = """\
# pxname,svname,req_tot,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,status
https,FRONTEND,{requests},0,8,0,0,{errors},0,OPEN
app,server-1,,0,{requests},0,0,0,0,UP
app,server-2,,0,0,0,0,0,0,{second}
app,BACKEND,8,0,8,0,0,0,0,UP
database_writer,server-3,,,,,,,,UP
database_writer,server-1,,,,,,,,DOWN
database_reader,server-1,,,,,,,,UP 1/2
"""
ALERT = {
    "labels": {"alertname": "MysqlDown", "server": "server-1", "severity": "critical"},
    "annotations": {"summary": "MySQL is down"},
    "state": "firing",
    "activeAt": "2026-11-24T10:00:00Z",
}


class Hosts:
    """Answers as the hosts of a stack of three would."""

    def __init__(self):
        self.asked = []
        self.requests, self.errors, self.second = 10, 0, "UP"
        self.states = dict.fromkeys(("server-1", "server-2", "server-3"), "running")
        self.executed = dict.fromkeys(self.states, "1-10")
        self.primary = "server-3"
        self.alerts = [ALERT, {"labels": {"alertname": "Watchdog"}, "state": "firing"}]

    def servers(self):
        return [
            {"name": name, "state": state, "address": f"10.20.0.{number}", "problem": None,
             "roles": ["load_balancer", "app", "database", "monitoring"]}
            for number, (name, state) in enumerate(self.states.items(), 1)
        ]  # fmt: skip

    def get(self, server, address, port, path):
        self.asked.append((server, path))
        if path == "/stats;csv":
            return CSV.format(requests=self.requests, errors=self.errors, second=self.second)
        if path == "/api/v1/alerts":
            return json.dumps({"data": {"alerts": self.alerts}})
        state = DatabaseState(
            server,
            1,
            "ONLINE",
            self.primary,
            {name: "ONLINE" for name, state in self.states.items() if state == "running"},
            super_read_only=server != self.primary,
            executed=GtidSet.parse(f"{UUID}:{self.executed[server]}"),
        )
        return json.dumps(state.to_json())


class Look:
    """An observer of Hosts with a clock that is moved by hand."""

    def __init__(self):
        self.hosts, self.now, self.statuses = Hosts(), 100.0, 0
        self.observer = Observer(
            self.status,
            self.hosts.servers,
            lambda: {"203.0.113.10": "10.20.0.1"},
            set,
            self.hosts.get,
            lambda: self.now,
        )

    def status(self):
        self.statuses += 1
        return {"stack": "t", "healthy": True, "servers": [{"name": "server-1", "healthy": True, "problems": []}]}

    def after(self, seconds):
        self.now += seconds
        return self.observer.document()


@pytest.fixture
def look():
    made = Look()
    yield made
    made.observer.close()


def server(document, name):
    return next(one for one in document["servers"] if one["name"] == name)


def test_the_document_says_who_does_what(look):
    look.hosts.executed["server-1"] = "1-7"
    document = look.after(0)
    assert document["primary"] == "server-3"
    assert document["elastic"] == {"203.0.113.10": "server-1"}
    first = server(document, "server-1")["now"]
    assert first["balancer"]["apps_up"] == ["server-1", "server-2"]
    assert first["writer"] == ["server-3"]
    assert first["readers"] == ["server-1"], "one failed check takes nobody out"
    assert (first["database"]["role"], first["database"]["behind"]) == ("replica", 3)
    assert server(document, "server-3")["now"]["database"]["role"] == "primary"
    assert [(one["name"], one["server"]) for one in document["alerts"]] == [("MysqlDown", "server-1")]


def test_rates_come_from_two_looks(look):
    look.after(0)
    look.hosts.requests, look.hosts.errors = 30, 4
    now = server(look.after(2), "server-1")["now"]
    assert now["balancer"]["requests_per_second"] == 10
    assert now["balancer"]["errors_per_second"] == 2
    assert now["app"]["requests_per_second"] == 30, "three load balancers sent it ten a second each"
    look.hosts.requests = 1000
    assert server(look.after(3600), "server-1")["now"]["balancer"]["requests_per_second"] == 0, "nobody looked"
    look.hosts.requests = 1
    assert server(look.after(2), "server-1")["now"]["balancer"]["requests_per_second"] == 0, "HAProxy started anew"


def test_hosts_are_asked_at_most_once_a_second_and_only_when_somebody_looks(look):
    look.after(0)
    asked = len(look.hosts.asked)
    look.after(FRESH / 2)
    assert len(look.hosts.asked) == asked
    look.after(FRESH)
    assert len(look.hosts.asked) == 2 * asked
    assert look.statuses == 1, "the dear question is asked in the background, and seldom"
    look.after(STATUS_EVERY)
    assert server(look.after(FRESH), "server-1")["healthy"] is True


def test_what_happens_is_worth_a_new_status(look):
    look.after(0)
    look.observer._slow.result()
    look.after(FRESH)
    look.after(STATUS_AFTER_EVENT)
    assert look.statuses == 1, "all is well and quiet"
    look.hosts.primary = "server-1"
    look.after(FRESH)
    look.after(FRESH)
    assert look.statuses == 2


def test_a_server_without_power_is_not_asked(look):
    look.hosts.states["server-3"] = "off"
    look.hosts.primary = None
    document = look.after(0)
    assert "server-3" not in {name for name, _ in look.hosts.asked}
    assert document["primary"] is None
    assert server(document, "server-3")["now"]["database"] is None


def test_a_status_that_fails_is_asked_again(look, caplog):
    look.observer._status = lambda: 1 // 0
    look.after(0)
    look.observer._slow.exception()
    assert look.after(FRESH)["primary"] == "server-3"
    assert "division" in caplog.text


def test_the_timeline_tells_a_failover(look):
    assert look.after(0)["events"] == []
    look.hosts.states["server-3"], look.hosts.primary, look.hosts.second = "off", "server-2", "DOWN"
    look.hosts.alerts = []
    told = {event["subject"]: event["text"] for event in look.after(2)["events"]}
    assert told["primary"] == "server-3 → server-2"
    assert told["server-3 power"] == "running → off"
    assert told["server-2 application"] == "up → down"
    assert told["alert MysqlDown server-1"] == "firing → gone"


def test_the_timeline_is_bounded():
    timeline = Timeline()
    for number in range(KEPT + 5):
        timeline.add(number, "x", "y")
    assert len(timeline.events) == KEPT
    assert timeline.events[0]["at"] == KEPT + 4


def test_firing_wins_over_pending():
    firing = sources.alerts(lambda *_: json.dumps({"data": {"alerts": [ALERT]}}), "s", "a")
    assert sources.distinct([*firing, {**firing[0], "state": "pending"}]) == firing


# -- the web server


HOST = "127.0.0.1:8444"


@pytest.fixture
def pressed():
    return []


@pytest.fixture
def client(look, pressed):
    topology = build_topology(Settings.parse({}), stack="t", region="r", zones=["ra", "rb", "rc"])

    def act(action, name):
        if name == "server-9":
            raise RehearsalError("there is no server 'server-9'")
        pressed.append((action, name))
        return "done"

    return application(lambda: topology, look.observer, act, {HOST}).test_client()


def token(client):
    text = client.get("/", headers={"Host": HOST}).get_data(as_text=True)
    return re.search(r'name="token" content="([^"]+)"', text)[1]


def press(client, server="server-1", **headers):
    body = {"action": "kill", "server": server}
    return client.post("/actions", json=body, headers={"Host": HOST, **headers})


def test_the_page_draws_the_stack_and_asks_nobody_else(client):
    answer = client.get("/", headers={"Host": HOST})
    text = answer.get_data(as_text=True)
    assert text.count("<svg") == 1
    assert 'data-server="server-2" data-role="database"' in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    for name in ("page.js", "page.css"):
        assert client.get(f"/static/{name}", headers={"Host": HOST}).status_code == 200


def test_the_data_are_those_of_status(client):
    found = client.get("/status.json", headers={"Host": HOST}).get_json()
    assert {one["name"] for one in found["servers"]} == {"server-1", "server-2", "server-3"}


def test_a_button_needs_the_pages_token(client, pressed):
    assert press(client).status_code == 403
    assert press(client, **{TOKEN_HEADER: "guessed"}).status_code == 403
    assert not pressed
    assert press(client, **{TOKEN_HEADER: token(client)}).get_json() == {"done": "done"}
    assert pressed == [("kill", "server-1")]


def test_another_site_presses_no_button(client, pressed):
    headers = {TOKEN_HEADER: token(client), "Origin": "http://evil.example"}
    assert press(client, **headers).status_code == 403
    assert not pressed
    assert press(client, **{**headers, "Origin": f"http://{HOST}"}).status_code == 200


def test_a_name_that_means_loopback_is_refused(client):
    for path in ("/", "/status.json"):
        assert client.get(path, headers={"Host": "evil.example:8444"}).status_code == 403


def test_what_cannot_be_done_is_said(client):
    answer = press(client, "server-9", **{TOKEN_HEADER: token(client)})
    assert (answer.status_code, answer.get_json()) == (400, {"error": "there is no server 'server-9'"})
    answer = client.post("/actions", data="x", headers={"Host": HOST, TOKEN_HEADER: token(client)})
    assert answer.status_code == 400


class Machine:
    def __init__(self):
        self.commands = []

    def run(self, *command, **_):
        self.commands.append(command)


def test_buttons_reach_only_servers_of_the_stack():
    machine, asked = Machine(), []
    act = Actions(lambda: {"server-1": machine}, asked.append, asked.append)
    for wrong in (("kill", "server-2"), ("rm -rf", "server-1")):
        with pytest.raises(RehearsalError, match="there is no"):
            act(*wrong)
    assert not asked
    assert not machine.commands
    act("crash-mysql", "server-1")
    assert machine.commands == [("systemctl", "kill", "--signal=KILL", "mysql.service")]
    act("kill", "server-1")
    act("heal", "server-1")
    assert asked == [
        {"servers": ["server-1"], "action": "kill"},
        {"action": "heal", "arguments": ["server-1"]},
    ]
