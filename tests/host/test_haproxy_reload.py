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


def test_state_is_kept(answering, tmp_path):
    path, asked = answering(b"1\n# be_id be_name\n")
    keep_state(path, tmp_path / "state")
    assert asked == [b"show servers state\n"]
    assert (tmp_path / "state").read_text() == "1\n# be_id be_name\n"


def test_without_haproxy_there_is_no_state(tmp_path):
    with pytest.raises(OSError):  # noqa: PT011  the system's own words
        keep_state(tmp_path / "none.sock", tmp_path / "state")
    assert not (tmp_path / "state").exists()
