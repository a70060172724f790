"""A connection as soon as somebody answers: SYNs of new attempts, while those before may still be answered."""

from __future__ import annotations

import errno
import os
import select
import socket
import time

SYN_AGAIN = 0.1
"""Seconds between two attempts."""


def dial(host: str, port: int, seconds: float) -> socket.socket:
    """Connect to an address. Raises TimeoutError when nobody answers within `seconds`, OSError when it is refused.

    The kernel sends a lost SYN again only after a second (RFC 6298): all requests that began while nobody had the
    address would wait for that, and a takeover would be timed no finer. An attempt that was given up for the next one
    would never succeed where an answer takes longer than SYN_AGAIN. So none is given up before one is answered.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    deadline = time.monotonic() + seconds
    asked: list[socket.socket] = []
    try:
        while (left := deadline - time.monotonic()) > 0:
            attempt = socket.socket(family, kind, protocol)
            attempt.setblocking(False)
            asked.append(attempt)
            attempt.connect_ex(address)  # what is wrong with it shows when it can be written to
            _, answered, _ = select.select([], asked, [], min(SYN_AGAIN, left))
            for one in answered:
                if fault := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(fault, os.strerror(fault))
                asked.remove(one)
                one.settimeout(seconds)
                return one
        raise TimeoutError(errno.ETIMEDOUT, f"no answer from {host}:{port} within {seconds:g} s")
    finally:
        for one in asked:
            one.close()
