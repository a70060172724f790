"""The one way in for people: a loopback port of this machine that leads to the stack's public address."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Sequence

from rehearsal.shell import RehearsalError

CHUNK = 65536

_log = logging.getLogger(__name__)

Connect = Callable[[str, int], socket.socket]


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1. Raises RehearsalError when the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise RehearsalError(
            f"port {port} of this machine is taken ({error.strerror}): choose another one with --port, --http-port or "
            "--page-port"
        ) from error
    return listener


class Forward:
    """Relays connections of `listener` to `port` of the first public address that accepts one.

    `addresses()` are the stack's public addresses now; `connect(address, port)` makes a connection from the world.
    """

    def __init__(
        self, listener: socket.socket, port: int, addresses: Callable[[], Sequence[str]], connect: Connect
    ) -> None:
        self._listener = listener
        self._port = port
        self._addresses = addresses
        self._connect = connect
        self._thread = threading.Thread(target=self._accept, name=f"forward-{port}", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def close(self) -> None:
        """Stop accepting; connections that are open end with this process."""
        # Closing alone does not wake a thread that is in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            server = self._open()
            if server is None:
                return
            with server, contextlib.suppress(OSError):
                relay(client, server)

    def _open(self) -> socket.socket | None:
        addresses = self._addresses()
        for address in addresses:
            try:
                return self._connect(address, self._port)
            except OSError as error:
                _log.debug("no connection to %s:%d: %s", address, self._port, error)
        _log.info("nobody answers on port %d of %s", self._port, ", ".join(addresses) or "any public address")
        return None


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until both sides have ended; an end of one side is passed on."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        for connection in (one, other):
            connection.settimeout(None)
        while selector.get_map():
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)  # noqa: S101  (both were registered above)
                data = source.recv(CHUNK)
                if data:
                    target.sendall(data)
                else:
                    selector.unregister(source)
                    with contextlib.suppress(OSError):
                        target.shutdown(socket.SHUT_WR)
