"""The loopback port that leads to the stack, and the supervisor's socket."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from rehearsal import control, forward
from rehearsal.shell import RehearsalError


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def shouter():
    """A server that answers in capitals, once its client has said everything."""
    listener = forward.listen(0)

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(read_all(connection).upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def through(port, said):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def test_both_ways_and_the_ends_are_passed_on(shouter):
    listener = forward.listen(0)
    port = listener.getsockname()[1]
    tried = []

    def connect(address, to):
        tried.append((address, to))
        if address == "203.0.113.10":
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", shouter))

    relay = forward.Forward(listener, 443, lambda: ["203.0.113.10", "203.0.113.11"], connect)
    relay.start()
    long = b"guestbook " * 200_000
    assert through(port, long) == long.upper()
    assert tried == [("203.0.113.10", 443), ("203.0.113.11", 443)]
    relay.close()


def test_where_nobody_answers_the_connection_just_ends():
    listener = forward.listen(0)
    port = listener.getsockname()[1]
    relay = forward.Forward(listener, 443, list, lambda _address, _port: None)
    relay.start()
    with contextlib.suppress(OSError):  # what it had said was never read: a reset, at whichever call it is noticed
        assert through(port, b"hello") == b""
    relay.close()


def test_a_port_that_is_taken_is_said():
    with forward.listen(0) as taken, pytest.raises(RehearsalError, match=r"port \d+ .* is taken"):
        forward.listen(taken.getsockname()[1])


def refuse(_request):
    raise RehearsalError("not today")


def break_down(_request):
    raise KeyError("what")


def test_the_supervisors_socket(tmp_path):
    path = tmp_path / "control.sock"
    handlers = {"double": lambda request: {"n": request["n"] * 2}, "refuse": refuse, "break": break_down}
    server = control.Control(path, handlers)
    server.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert control.ask(path, {"op": "double", "n": 21}) == {"n": 42}
    with pytest.raises(RehearsalError, match=r"^not today$"):
        control.ask(path, {"op": "refuse"})
    with pytest.raises(RehearsalError, match="KeyError: 'what'"):
        control.ask(path, {"op": "break"})
    with pytest.raises(RehearsalError, match="unknown request"):
        control.ask(path, {"op": "dance"})
    server.close()
    with pytest.raises(control.NotRunningError):
        control.ask(path, {"op": "double", "n": 1})
