"""The reload of HAProxy, against a fake of its two sockets."""

from __future__ import annotations

import socket
import threading

import pytest

from userdata.host.haproxy_reload import ReloadError, keep_state, reload


@pytest.fixture
def answering(tmp_path):
    """A socket that takes one command and gives one answer; what was asked is in `asked`."""
    listeners = []

    def start(answer):
        path = tmp_path / f"{len(listeners)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listeners.append(listener)
        asked = []

        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(1024))
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return path, asked

    yield start
    for listener in listeners:
        listener.close()


def test_success(answering):
    path, asked = answering(b"Success=1\n--\n[NOTICE] loaded\n")
    reload(path)
    assert asked == [b"reload\n"]


def test_failure_gives_haproxy_s_own_words(answering):
    path, _ = answering(b"Success=0\n--\n[NOTICE] version\n[ALERT] (1) : cannot bind socket\n[ALERT] : exiting\n")
    with pytest.raises(ReloadError, match="cannot bind socket"):
        reload(path)


def test_no_answer(answering):
    path, _ = answering(b"")
    with pytest.raises(ReloadError, match="no answer"):
        reload(path)


STATES = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_port
5 app 1 server-1 10.20.0.10 2 {port}
5 app 2 server-2 10.20.16.11 0 {port}
7 database_writer 1 server-1 10.20.0.10 2 3306

"""
CONFIG = """\
frontend http
    bind :80
backend app
    server server-1 10.20.0.10:9000
    server server-2 10.20.16.12:9000
listen database_writer
    bind 127.0.0.1:3306
    server server-1 10.20.0.10:3306 check
"""


def kept(answering, tmp_path, port):
    path, asked = answering(STATES.format(port=port).encode())
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG)
    keep_state(path, tmp_path / "state", config)
    assert asked == [b"show servers state\n"]
    return [line.split()[1:4:2] for line in (tmp_path / "state").read_text().splitlines()[2:] if line]


def test_state_is_kept_of_servers_that_stay_where_they_are(answering, tmp_path):
    assert kept(answering, tmp_path, 9000) == [["app", "server-1"], ["database_writer", "server-1"]]
    assert (tmp_path / "state").read_text().startswith("1\n# be_id be_name ")


def test_a_port_that_changed_is_not_taken_from_the_state(answering, tmp_path):
    assert kept(answering, tmp_path, 8080) == [["database_writer", "server-1"]]


def test_without_haproxy_there_is_no_state(tmp_path):
    with pytest.raises(OSError):  # noqa: PT011  the system's own words
        keep_state(tmp_path / "none.sock", tmp_path / "state", tmp_path / "none.cfg")
    assert not (tmp_path / "state").exists()
