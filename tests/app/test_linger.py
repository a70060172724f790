"""Who answered a client that never closes waits for it, and nobody after that."""

from __future__ import annotations

import runpy
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from app import linger as module
from app.linger import linger
from tests.app.test_settings import ENVIRONMENT
from tests.app.test_start import FOLDER

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server's connection and its client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield server, client


def after(server: socket.socket) -> bytes:
    """What gunicorn's own graceful close reads, and how long it may wait for it."""
    server.settimeout(0.2)
    return server.recv(4096)


def finish(server: socket.socket) -> None:
    linger(None, None, {"gunicorn.socket": server}, None)


def test_a_client_that_never_closes_keeps_only_its_own_thread(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.1)
    server, _ = pair
    finish(server)
    assert after(server) == b""


def test_without_it_gunicorn_would_wait(pair: Pair) -> None:
    server, _ = pair
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(TimeoutError):
        after(server)


def test_the_whole_answer_arrives_and_the_wait_ends_with_the_client(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"more than was read" * 1000)
    server.sendall(b"answer")
    received = []

    def read() -> None:
        while data := client.recv(4096):
            received.append(data)
        client.shutdown(socket.SHUT_WR)

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    finish(server)
    reader.join(5)
    assert b"".join(received) == b"answer"
    assert time.monotonic() - began < module.LINGER


def test_a_connection_that_is_gone_is_no_error(pair: Pair) -> None:
    server, _ = pair
    server.close()
    finish(server)
    linger(None, None, {}, None)


def test_gunicorn_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert runpy.run_path(str(FOLDER / "gunicorn.conf.py"))["post_request"].__name__ == "linger"
