"""HAProxy's health turns bad before a planned stop; after a crash nobody waits."""

from __future__ import annotations

import socket
import threading

from userdata.host.haproxy_drain import COMMAND, drain


def haproxy(path, answer):
    """A stats socket that answers one command; what it was told."""
    told = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve():
        connection, _ = server.accept()
        with connection, server:
            told.append(connection.recv(4096).decode().strip())
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return told


def test_it_is_told_and_then_serves_on(tmp_path):
    told, waits = haproxy(tmp_path / "sock", b"\n"), []
    assert drain(15, tmp_path / "sock", waits.append) == 0
    assert told == [COMMAND]
    assert waits == [15]


def test_a_refusal_is_said_and_not_waited_for(tmp_path, capsys):
    haproxy(tmp_path / "sock", b"Permission denied\n")
    waits = []
    assert drain(15, tmp_path / "sock", waits.append) == 1
    assert not waits
    assert "Permission denied" in capsys.readouterr().err


def test_after_a_crash_nobody_waits(tmp_path):
    waits = []
    assert drain(15, tmp_path / "nothing", waits.append) == 0
    assert not waits
