"""Network namespaces: make them, and use sockets in them from this process without moving it there."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rehearsal.shell import RehearsalError, run

DIRECTORY = Path("/run/netns")  # where iproute2 keeps the names
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def create(name: str) -> None:
    """Make a namespace with its loopback up. Raises RehearsalError when the name is taken."""
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])


def delete(name: str) -> None:
    """Remove a namespace's name; the kernel removes its links with its last process. No error when it is gone."""
    if exists(name):
        run(["ip", "netns", "delete", name])


def exists(name: str) -> bool:
    """Whether the name is taken."""
    return (DIRECTORY / name).exists()


def sysctl(name: str, settings: dict[str, int]) -> None:
    """Set kernel settings of the namespace only (keys as in sysctl.conf)."""

    def write() -> None:
        for key, value in settings.items():
            # /proc/sys/net shows the settings of the namespace of the thread that opens it.
            Path("/proc/sys", key.replace(".", "/")).write_text(str(value))

    within(name, write)


def within(name: str, function: Callable[[], T]) -> T:
    """Call `function` in the namespace and return what it returned (or raise what it raised).

    A socket belongs for its life to the namespace it was made in, so a thread that enters, makes the socket and
    ends is all it takes; this process, its other threads and its routes stay where they are.
    """
    answer: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            handle = os.open(DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # os.setns came with Python 3.12
                if _libc.setns(handle, _CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, f"cannot enter network namespace {name}: {os.strerror(code)}")
            finally:
                os.close(handle)
            answer.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"netns-{name}", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def listen(name: str, address: str, port: int, *, backlog: int = 512) -> socket.socket:
    """A TCP socket that listens in the namespace; accept() may be called from any thread."""

    def make() -> socket.socket:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen(backlog)
        except OSError as error:
            server.close()
            raise RehearsalError(f"cannot listen on {address}:{port} in {name}: {error}") from error
        return server

    return within(name, make)


def connect(name: str, address: str, port: int, *, timeout: float = 10, source: str | None = None) -> socket.socket:
    """A TCP connection made from inside the namespace. Raises OSError as socket.create_connection does."""
    local = None if source is None else (source, 0)
    return within(name, lambda: socket.create_connection((address, port), timeout=timeout, source_address=local))
