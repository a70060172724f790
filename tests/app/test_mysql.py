"""The application on a real MySQL server: the mysqld of the rehearsal's image, or one that is named.

TRIPOD_TEST_MYSQL=mysql://USER:PASSWORD@127.0.0.1:PORT/?ca=CA_FILE names a throw-away server with
TLS and an account that may create users and the database `app`, which is dropped first. It needs neither root nor
the image.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
import pytest

import app.entries
from app.application import create_application
from app.connection import ConnectionLostError, StatementFailedError, open_connection
from app.deadline import Deadline
from app.entries import Entries
from app.errors import UnavailableError
from app.settings import Address, Endpoint, Settings
from tests.app.mysqld import serving
from tests.userdata.image import find

URL = os.environ.get("TRIPOD_TEST_MYSQL", "")
# With a server of the user's own nothing of this machine is needed.
pytestmark = [] if URL else [pytest.mark.native]
SCHEMA = Path(app.entries.__file__).with_name("schema.sql")


class Relay:
    """A TCP relay in front of the server, as HAProxy is: it can be cut and opened again."""

    def __init__(self, target):
        self._target = target
        self._sockets = set()
        self.open = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self.open = False
        for each in list(self._sockets):
            close(each)

    def stop(self):
        self.cut()
        close(self._listener)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.open:
                close(client)
                continue
            server = socket.create_connection(self._target)
            self._sockets |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source, target):
        with suppress(OSError):  # the other direction closed both
            while data := source.recv(65536):
                target.sendall(data)
        close(source)
        close(target)
        self._sockets -= {source, target}


def close(each):
    with suppress(OSError):  # not connected any more
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@pytest.fixture(autouse=True)
def _short_budgets():
    """Real servers get the real budgets: this takes the place of the fixture in conftest.py."""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    if URL:
        yield URL
        return
    with serving(find(), tmp_path_factory.mktemp("mysqld")) as found:
        yield found


@pytest.fixture(scope="module")
def server(url):
    url = urlsplit(url)
    ca = parse_qs(url.query)["ca"][0]
    admin = pymysql.connect(
        host=url.hostname, port=url.port, user=url.username, password=unquote(url.password or ""),
        ssl={"ca": ca}, autocommit=True,
    )  # fmt: skip
    with admin.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS app")
        text = "\n".join(line for line in SCHEMA.read_text().splitlines() if not line.startswith("--"))
        for statement in filter(str.strip, text.split(";\n")):
            cursor.execute(statement)
            cursor.execute(statement)  # running it again changes nothing
        for user, rights in (("app_writer", "SELECT, INSERT, UPDATE, DELETE"), ("app_reader", "SELECT")):
            cursor.execute(f"DROP USER IF EXISTS {user}@'%'")
            cursor.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'p-{user}' REQUIRE SSL")
            cursor.execute(f"GRANT {rights} ON app.* TO {user}@'%'")
    yield (url.hostname, url.port, ca, admin)
    admin.close()


@pytest.fixture
def relay(server):
    relay = Relay(server[:2])
    yield relay
    relay.stop()


@pytest.fixture
def settings(server, relay, tmp_path):
    def endpoint(user):
        password = tmp_path / user
        password.write_text(f"p-{user}\n")
        return Endpoint(Address("127.0.0.1", relay.port), "app", user, password, Path(server[2]))

    return Settings("server-2", "dev", Address("127.0.0.1", 8080), endpoint("app_writer"), endpoint("app_reader"), 32)


@pytest.fixture
def entries(settings):
    return Entries.connect(settings)


def test_an_entry_survives_the_round_trip(settings):
    client = create_application(settings).test_client()
    text = "Grüße — 你好 — 🌿\nsecond line"
    first = client.post("/api/entries", json={"text": text, "key": "round-trip"})
    assert first.status_code == 201
    assert client.post("/api/entries", json={"text": text, "key": "round-trip"}).status_code == 200
    found = client.get("/api/entries/round-trip").json
    assert found["text"] == text
    assert found["written_by"] == found["read_from"] == first.json["written_by"]
    assert client.get("/healthz").status_code == 200
    # Keys are compared byte by byte.
    assert client.post("/api/entries", json={"text": text, "key": "Round-Trip"}).status_code == 201
    assert client.post("/api/entries", json={"text": "🌿" * 500, "key": "x" * 64}).status_code == 201


def test_one_key_from_many_threads_is_one_entry(entries):
    with ThreadPoolExecutor(12) as threads:
        written = list(threads.map(lambda _: entries.add("contended", "x"), range(12)))
    assert sum(each.created for each in written) == 1
    assert len({each.entry.id for each in written}) == 1


def test_connections_are_used_again(entries, settings):
    entries.add("reuse-0", "x")
    opened = []
    connect = entries._writer._connect
    entries._writer._connect = lambda deadline: opened.append(1) or connect(deadline)
    for number in range(1, 20):
        entries.add(f"reuse-{number}", "x")
    assert not opened


def test_requests_go_on_after_connections_were_cut(entries, relay):
    entries.add("cut-1", "x")
    entries.after(0, 1)
    relay.cut()
    relay.open = True
    assert entries.add("cut-2", "x").created
    assert entries.after(0, 1).entries


def test_without_the_server_answers_come_in_time(entries, relay):
    entries.add("gone-1", "x")
    relay.cut()
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        entries.add("gone-2", "x")
    assert time.monotonic() - started < 6
    with pytest.raises(UnavailableError):
        entries.probe()


def test_no_acknowledged_entry_is_lost_when_connections_are_cut_at_random(entries, relay, server):
    acknowledged = []
    end = time.monotonic() + 3

    def write(thread):
        number = 0
        while time.monotonic() < end:
            acknowledged.append(entries.add(f"storm-{thread}-{number}", "x").entry.key)
            number += 1

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(write, thread) for thread in range(4)]
        pause = threading.Event()
        while time.monotonic() < end:
            pause.wait(0.05)
            relay.cut()
            relay.open = True
        for each in running:
            each.result()
    with server[3].cursor() as cursor:
        cursor.execute("SELECT `key` FROM app.entries WHERE `key` LIKE 'storm-%'")
        stored = [row[0] for row in cursor.fetchall()]
    assert len(acknowledged) > 20
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) == set(stored)


def test_another_ca_and_another_name_are_refused(settings, tmp_path):
    other = tmp_path / "other.pem"
    other.write_text(Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")).read_text())
    foreign = Endpoint(**{**vars(settings.reader), "ca_file": other})
    with pytest.raises(ConnectionLostError, match="certificate verify failed"):
        open_connection(foreign, Deadline(2), autocommit=True)
    renamed = Endpoint(**{**vars(settings.reader), "address": Address("127.0.0.2", settings.reader.address.port)})
    with pytest.raises(ConnectionLostError):
        open_connection(renamed, Deadline(2), autocommit=True)


def test_the_reader_account_cannot_write(settings):
    connection = open_connection(settings.reader, Deadline(2), autocommit=True)
    with pytest.raises(StatementFailedError, match="1142"):
        connection.insert(app.entries.INSERT, ("k", "x"))
    connection.close()


def test_a_wrong_password_is_an_honest_failure(entries, settings):
    settings.reader.password_file.write_text("wrong")
    with pytest.raises(UnavailableError) as raised:
        entries.probe()
    assert "wrong" not in str(raised.value.__cause__)


def test_a_missing_password_file_is_an_honest_failure(entries, settings):
    settings.reader.password_file.unlink()
    with pytest.raises(UnavailableError):
        entries.probe()
