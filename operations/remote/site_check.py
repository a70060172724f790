"""Ask the site for a page on a load balancer itself: over TLS, on its private address, as a visitor would.

Usage: python3 - ADDRESS HOST PATH. ADDRESS is the server's own private address; traffic from a host to itself
passes no security group. HOST is the name to ask for, empty for the address. Prints JSON
{"status": 200 | null, "error": null | "..."}; exit code 0 always when it could print that.
"""

import contextlib
import http.client
import json
import socket
import ssl
import struct
import sys
from pathlib import Path

PORT = 443
TIMEOUT = 10
STACK_CA = Path("/etc/tripod/tls/ca.pem")
# PROXY protocol version 2, command LOCAL: what a proxy sends for its own health checks
# (HAProxy's doc/proxy-protocol.txt, section 2.2). A load balancer behind an NLB accepts nothing without it.
PROXY_LOCAL = struct.pack("!12sBBH", b"\r\n\r\n\x00\r\nQUIT\n", 0x20, 0, 0)


def ask(target: tuple[str, int], host: str, path: str, preamble: bytes, ca: Path = STACK_CA) -> int:
    """The HTTP status of one GET. Raises OSError, ssl.SSLError or http.client.HTTPException."""
    context = ssl.create_default_context()
    if ca.exists():
        context.load_verify_locations(ca)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(socket.create_connection(target, timeout=TIMEOUT))
        raw.sendall(preamble)
        tls = stack.enter_context(context.wrap_socket(raw, server_hostname=host or target[0]))
        connection = http.client.HTTPSConnection(host or target[0])
        connection.sock = tls
        connection.request("GET", path, headers={"User-Agent": "tripod-verify"})
        return connection.getresponse().status


def check(target: tuple[str, int], host: str, path: str, ca: Path = STACK_CA) -> dict[str, object]:
    """Plainly first, then with the PROXY protocol."""
    errors = []
    for preamble in (b"", PROXY_LOCAL):
        try:
            return {"status": ask(target, host, path, preamble, ca), "error": None}
        except ssl.SSLCertVerificationError as error:
            # The handshake itself works, so another preamble cannot help.
            return {"status": None, "error": "its certificate does not verify: " + error.verify_message}
        except (OSError, http.client.HTTPException) as error:
            errors.append(str(error) or type(error).__name__)
    return {"status": None, "error": errors[0]}


if __name__ == "__main__":
    print(json.dumps(check((sys.argv[1], PORT), sys.argv[2], sys.argv[3])))
