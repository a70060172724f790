"""The steady client's way to connect: often enough that a takeover is timed finely, and never longer than allowed."""

from __future__ import annotations

import errno
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from rehearsal.drills import dial as dialling
from rehearsal.drills.client import Adapter, PromptConnection, reason
from rehearsal.drills.dial import SYN_AGAIN, dial

BY = 3 * SYN_AGAIN


@contextmanager
def full() -> Iterator[socket.socket]:
    """A listener whose queue is full: the kernel drops every SYN until somebody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener
        for one in waiting:
            one.close()


def takeover() -> float:
    """Seconds to connect to an address that has no owner for the first of them."""
    with full() as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            connection.close()

        timer = threading.Timer(BY, accept)
        timer.start()
        started = time.monotonic()
        with dial(*listener.getsockname(), 30.0) as connected:
            seconds = time.monotonic() - started
            assert connected.gettimeout() == 30.0, "TLS then has all the time that the caller allows"
        timer.join()
    return seconds


def test_a_lost_syn_is_sent_again_soon() -> None:
    # The kernel by itself would have tried after one second, and then after two more. Three: a machine may be busy.
    assert BY * 0.9 <= min(takeover() for _ in range(3)) < 1


class Far:
    """A socket to an address that answers a SYN after so many seconds."""

    takes = 0.0

    def __init__(self, *_: object) -> None:
        self.asked = 0.0
        self.closed = False
        ALL.append(self)

    def setblocking(self, _: bool) -> None: ...

    def settimeout(self, _: float) -> None: ...

    def connect_ex(self, _: object) -> int:
        self.asked = time.monotonic()
        return errno.EINPROGRESS

    def getsockopt(self, *_: int) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


ALL: list[Far] = []


def test_an_answer_that_takes_longer_than_the_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready(_: object, asked: list[Far], __: object, seconds: float) -> tuple[list[Far], list[Far], list[Far]]:
        time.sleep(seconds)
        return [], [one for one in asked if time.monotonic() - one.asked >= Far.takes], []

    ALL.clear()
    monkeypatch.setattr(Far, "takes", 2.5 * SYN_AGAIN)
    monkeypatch.setattr(dialling.socket, "socket", Far)
    monkeypatch.setattr(select, "select", ready)
    assert dial("203.0.113.10", 443, 30.0) is ALL[0]  # type: ignore[comparison-overlap]
    assert [one.closed for one in ALL] == [False, True, True]


def test_nobody_waits_longer_than_allowed() -> None:
    with full() as listener, pytest.raises(ConnectTimeoutError, match=r"within 0\.15 s"):
        PromptConnection(*listener.getsockname(), timeout=0.15)._new_conn()


def test_a_request_does_not_wait_for_the_answer_to_its_first_half() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        PromptConnection(*listener.getsockname(), timeout=5.0)._new_conn() as connected,
    ):
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_refusal_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
    with pytest.raises(NewConnectionError, match="refused"):
        PromptConnection(host, port, timeout=5.0)._new_conn()


def test_what_is_written_down_is_why(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.touch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = "https://{}:{}".format(*listener.getsockname())
        with pytest.raises(requests.exceptions.SSLError) as failed:
            requests.get(url, verify=str(empty), timeout=5)
        assert re.match("SSLError: .*NO_CERTIFICATE", reason(failed.value))
    with pytest.raises(requests.ConnectionError) as refused:
        requests.get(url, timeout=5)
    assert re.match("ConnectionError: .*refused", reason(refused.value))


def test_every_request_goes_this_way() -> None:
    pool = Adapter("www.example.org").poolmanager.connection_from_url("https://203.0.113.10")
    assert pool.ConnectionCls is PromptConnection
    assert pool.assert_hostname == "www.example.org"  # type: ignore[attr-defined]
