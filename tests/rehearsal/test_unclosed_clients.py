"""A load balancer that loses power leaves connections that nobody closes: no other request may wait for them."""

from __future__ import annotations

import pytest

from rehearsal.drills.stack import Stack
from topology.flows import app_port

pytestmark = pytest.mark.rehearsal

# Four clients that ask and never close, then one more. Prints how many seconds that one waited.
CLIENTS = """
import socket, sys, time
address = (sys.argv[1], int(sys.argv[2]))
ask = b"GET /healthz HTTP/1.1\\r\\nHost: site\\r\\nConnection: close\\r\\n\\r\\n"
kept = [socket.create_connection(address) for _ in range(4)]
for one in kept:
    one.sendall(ask)
    assert one.recv(1024).startswith(b"HTTP/1.1 200 ")
began = time.monotonic()
with socket.create_connection(address) as one:
    one.sendall(ask)
    assert one.recv(1024).startswith(b"HTTP/1.1 200 ")
print(time.monotonic() - began)
"""


def test_clients_that_never_close_keep_nobody_waiting(reference: Stack) -> None:
    (balancer, *_), (_, app, *_) = reference.topology.load_balancers, reference.topology.apps
    where = (str(app.address), str(app_port(reference.topology)))
    done = reference.exec(balancer.name, "/usr/bin/python3", "-c", CLIENTS, *where)
    # Without app/linger.py: two seconds for each of the four.
    assert float(done.stdout) < 1
