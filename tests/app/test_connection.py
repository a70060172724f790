"""PyMySQL's own behaviour that the connection relies on, without a server."""

from __future__ import annotations

import socket
import threading

import pytest
from pymysql import err

from app.connection import (
    ConnectionLostError,
    DuplicateKeyError,
    StatementFailedError,
    _TlsConnection,
    _translated,
    open_connection,
)
from app.deadline import Deadline
from app.settings import Address, Endpoint

# A greeting of MySQL 9.7 whose capabilities lack CLIENT_SSL (0x0800).
WITHOUT_TLS = (
    b"\x0a9.7.4\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7\xff\x02\x00\xff\xdf\x15"
    + b"\x00" * 10
    + b"ijklmnopqrst\x00caching_sha2_password\x00"
)


@pytest.fixture
def server():
    """Greets each connection, and remembers what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    received = []

    def serve(greeting):
        connection, _ = listener.accept()
        with connection:
            if greeting:
                connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            connection.settimeout(5)
            received.append(connection.recv(4096))

    def start(greeting):
        thread = threading.Thread(target=serve, args=(greeting,))
        thread.start()
        return listener.getsockname()[1], thread, received

    yield start
    listener.close()


def endpoint(port, tmp_path):
    password = tmp_path / "password"
    password.write_text("secret")
    return Endpoint(Address("127.0.0.1", port), "app", "app_reader", password, certificate(tmp_path))


def certificate(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    return bundle


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch):
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *_, **__: None)


def test_a_server_without_tls_gets_no_credential(server, tmp_path):
    port, thread, received = server(WITHOUT_TLS)
    with pytest.raises(ConnectionLostError, match="no TLS"):
        open_connection(endpoint(port, tmp_path), Deadline(2), autocommit=True)
    thread.join(5)
    assert received == [b""]


def test_a_silent_server_costs_no_more_than_the_deadline(server, tmp_path):
    port, thread, _ = server(b"")
    with pytest.raises(ConnectionLostError, match="timed out"):
        open_connection(endpoint(port, tmp_path), Deadline(0.1), autocommit=True)
    thread.join(5)


def test_a_missing_password_file_is_a_lost_connection(tmp_path):
    missing = Endpoint(Address("127.0.0.1", 1), "app", "x", tmp_path / "none", tmp_path / "none")
    with pytest.raises(ConnectionLostError, match="none"):
        open_connection(missing, Deadline(1), autocommit=True)


@pytest.mark.parametrize(
    "raised, expected",
    [
        (err.IntegrityError(1062, "Duplicate entry"), DuplicateKeyError),
        (err.OperationalError(2013, "Lost connection"), ConnectionLostError),
        (err.InterfaceError(0, ""), ConnectionLostError),
        (err.OperationalError(1290, "--super-read-only"), StatementFailedError),
        (err.OperationalError(3100, "before_commit"), StatementFailedError),
        (BrokenPipeError(), ConnectionLostError),
        (ValueError("I/O operation on closed file"), ConnectionLostError),
        (KeyError("a defect"), KeyError),
    ],
)
def test_errors_are_told_apart(raised, expected: type[Exception]):
    with pytest.raises(expected) as caught, _translated():
        raise raised
    assert type(caught.value) is expected


def test_the_private_names_of_pymysql_that_are_used_exist():
    connection = _TlsConnection(defer_connect=True)
    assert hasattr(connection, "_force_close")
    assert hasattr(connection, "_get_server_information")
    assert connection._sock is None
    connection.wait_at_most(1.5)
    assert (connection._read_timeout, connection._write_timeout) == (1.5, 1.5)
