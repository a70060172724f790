"""PROXY protocol version 2, as a Network Load Balancer sends it (HAProxy's doc/proxy-protocol.txt, section 2.2)."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION = 0x20
_LOCAL, _PROXY = 0x0, 0x1
_TCP_OVER_IPV4 = 0x11

LOCAL = struct.pack("!12sBBH", SIGNATURE, _VERSION | _LOCAL, 0, 0)
"""What goes before a health check: a connection that no client asked for."""

Endpoint = tuple[str, int]
"""An IPv4 address and a port."""


def header(client: Endpoint, destination: Endpoint) -> bytes:
    """The 28 bytes that tell a target who is at the other end and which address it was that they called.

    Raises ValueError for an address that is not IPv4.
    """
    addresses = ipaddress.IPv4Address(client[0]).packed + ipaddress.IPv4Address(destination[0]).packed
    body = addresses + struct.pack("!HH", client[1], destination[1])
    return struct.pack("!12sBBH", SIGNATURE, _VERSION | _PROXY, _TCP_OVER_IPV4, len(body)) + body
