"""The steady client's way to connect: often enough that a takeover is timed finely, and never longer than allowed."""

from __future__ import annotations

import socket

import pytest
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from rehearsal.drills.client import SYN_AGAIN, Adapter, PromptConnection


class Kernel:
    """Answers the SYN number `answers` and drops those before."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.waited: list[float] = []

    def connect(self, connection: HTTPSConnection) -> socket.socket:
        assert isinstance(connection.timeout, float)
        self.waited.append(connection.timeout)
        if len(self.waited) < self.answers:
            raise ConnectTimeoutError("no answer")
        return socket.socket()


def connect(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, timeout: float) -> socket.socket:
    def dial(connection: HTTPSConnection) -> socket.socket:
        return kernel.connect(connection)

    monkeypatch.setattr(HTTPSConnection, "_new_conn", dial)
    connection = PromptConnection("203.0.113.10", timeout=timeout)
    try:
        return connection._new_conn()
    finally:
        assert connection.timeout == timeout


def test_a_lost_syn_is_sent_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(answers=4)
    with connect(monkeypatch, kernel, 5.0) as connected:
        # TLS then has all the time that the caller allows.
        assert connected.gettimeout() == 5.0
    assert kernel.waited == [SYN_AGAIN] * 4


def test_nobody_waits_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(answers=1_000_000)
    with pytest.raises(ConnectTimeoutError):
        connect(monkeypatch, kernel, 0.01)
    assert max(kernel.waited) <= 0.01


def test_every_request_goes_this_way() -> None:
    pool = Adapter("www.example.org").poolmanager.connection_from_url("https://203.0.113.10")
    assert pool.ConnectionCls is PromptConnection
    assert pool.assert_hostname == "www.example.org"  # type: ignore[attr-defined]
