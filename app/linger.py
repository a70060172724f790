"""The end of a connection, waited for where nobody else has to wait."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any

# Seconds for which a client may go on sending after its answer (RFC 9112, 9.6).
LINGER = 2.0


def linger(_worker: object, _request: object, environ: Mapping[str, Any], _response: object) -> None:
    """gunicorn's hook `post_request`: finish the connection in the thread that answered it.

    gunicorn (26) waits for the client's FIN in its only thread that accepts connections, up to 2 s for each: a load
    balancer that lost power with some requests open stopped every application server for seconds. Afterwards the
    socket is at its end in both directions, so that nobody waits again.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    deadline = time.monotonic() + LINGER
    # The connection may be gone at any step.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(4096):
                    break
        connection.shutdown(socket.SHUT_RD)
