"""A reload of HAProxy costs no request, also not of clients that keep their connections."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from rehearsal import namespace
from rehearsal.drills.stack import Stack
from topology.ports import HTTPS

pytestmark = pytest.mark.rehearsal

CLIENTS, RELOADS = 8, 12
THINKS = 0.05  # s between an answer and the next request of a client
APART = 1.0  # s between two reloads
CONFIGURATION = "/etc/haproxy/haproxy.cfg"


def opened(stack: Stack, context: ssl.SSLContext) -> http.client.HTTPConnection:
    """A connection from the world to the site, with the handshake done; it is not opened again by itself."""
    (address,) = stack.addresses()
    connection = http.client.HTTPConnection(address, HTTPS, timeout=20)
    connection.auto_open = 0
    raw = namespace.connect(stack.world, address, HTTPS, timeout=20)
    connection.sock = context.wrap_socket(raw, server_hostname=address)
    return connection


def ask(stack: Stack, over: threading.Event) -> Counter[str]:
    """Ask over a connection for as long as the server keeps it, then over a new one; how the requests ended."""
    context, ended = ssl.create_default_context(cafile=stack.ca_file), Counter[str]()
    while not over.is_set():
        try:
            connection = opened(stack, context)
            while connection.sock and not over.is_set():
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                ended[str(answer.status)] += 1
                time.sleep(THINKS)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            ended[type(error).__name__] += 1
    return ended


def reloaded(stack: Stack) -> Counter[str]:
    """How the requests of all clients ended while HAProxy was reloaded again and again."""
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask, stack, over) for _ in range(CLIENTS)]
        try:
            for _ in range(RELOADS):
                stack.exec(stack.topology.load_balancers[0].name, "systemctl", "reload", "haproxy.service")
                over.wait(APART)
        finally:
            over.set()
        return sum((client.result() for client in clients), Counter[str]())


def test_a_reload_costs_no_request_on_a_kept_connection(reference: Stack) -> None:
    ended = reloaded(reference)
    assert set(ended) == {"200"}, ended
    assert ended["200"] > CLIENTS * RELOADS


def test_without_a_last_answer_on_idle_connections_it_does(reference: Stack) -> None:
    """Negative control of the scenario above."""
    balancer = reference.topology.load_balancers[0].name
    reference.exec(balancer, "sed", "-i", "/idle-close-on-response/d", CONFIGURATION)
    try:
        ended = reloaded(reference)
    finally:
        reference.exec(balancer, "tripod", "apply")
    assert sum(ended.values()) > ended["200"], ended
    assert "idle-close-on-response" in reference.exec(balancer, "cat", CONFIGURATION).stdout
    reference.wait_healthy()
