"""Ask the site for a page on a load balancer itself: over TLS, on its private address, as a visitor would.

Usage: python3 - ADDRESS HOST PATH. ADDRESS is the server's own private address; traffic from a host to itself
passes no security group. HOST is the name that the certificate must carry; empty accepts any name.
Prints JSON {"status": 200 | null, "error": null | "...", "note": null | "..."}; exit code 0 whenever it printed that.
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

# OpenSSL's X509_V_ERR_*: unable to get (local) issuer, self-signed (in chain), unable to verify the first certificate.
UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
UNKNOWN_ISSUER_NOTE = "its certificate is from an authority that this server does not know"


def context_of(host: str, ca: Path, *, trusting: bool) -> ssl.SSLContext:
    """Verifies like a browser or curl: the chain, the dates, and the name when there is one."""
    context = ssl.create_default_context()
    # Python's strict mode refuses what every other client accepts, such as an authority without a key identifier.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = bool(host) and not trusting
    if trusting:
        context.verify_mode = ssl.CERT_NONE
    elif ca.exists():
        context.load_verify_locations(ca)
    return context


def ask(target: tuple[str, int], host: str, path: str, preamble: bytes, context: ssl.SSLContext) -> int:
    """The HTTP status of one GET. Raises OSError (ssl.SSLError is one) or http.client.HTTPException."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(socket.create_connection(target, timeout=TIMEOUT))
        raw.sendall(preamble)
        tls = stack.enter_context(context.wrap_socket(raw, server_hostname=host or None))
        connection = http.client.HTTPSConnection(host or target[0])
        connection.sock = tls
        connection.request("GET", path, headers={"User-Agent": "tripod-verify"})
        return connection.getresponse().status


def check(target: tuple[str, int], host: str, path: str, ca: Path = STACK_CA) -> dict[str, object]:
    """Plainly first, then with the PROXY protocol."""
    errors = []
    for preamble in (b"", PROXY_LOCAL):
        try:
            return _check(target, host, path, preamble, ca)
        except ssl.SSLCertVerificationError as error:
            # The handshake itself works, so another preamble cannot help.
            return {"status": None, "error": f"its certificate does not verify: {error.verify_message}", "note": None}
        except (OSError, http.client.HTTPException) as error:
            errors.append(str(error) or type(error).__name__)
    return {"status": None, "error": errors[0], "note": None}


def _check(target: tuple[str, int], host: str, path: str, preamble: bytes, ca: Path) -> dict[str, object]:
    note = None
    try:
        status = ask(target, host, path, preamble, context_of(host, ca, trusting=False))
    except ssl.SSLCertVerificationError as error:
        # A certificate of the user's own may come from an authority that only the visitors know.
        if error.verify_code not in UNKNOWN_ISSUER:
            raise
        status = ask(target, host, path, preamble, context_of(host, ca, trusting=True))
        note = UNKNOWN_ISSUER_NOTE
    return {"status": status, "error": None, "note": note}


if __name__ == "__main__":
    print(json.dumps(check((sys.argv[1], PORT), sys.argv[2], sys.argv[3])))
