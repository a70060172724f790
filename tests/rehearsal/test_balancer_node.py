"""A node on loopback: what it relays and to whom, which targets it trusts, and how one leaves."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from rehearsal import namespace
from rehearsal.balancer_node import Node
from rehearsal.drills.waiting import wait_until
from rehearsal.proxy_protocol import LOCAL, header
from rehearsal.target_health import HealthCheck, State, TargetGroup
from tests.rehearsal.stack import free_port

ARN = "arn:group"
CHECK = HealthCheck(interval=0.05, timeout=0.5, healthy=2, unhealthy=2)


class Target:
    """Sends back its name and then whatever arrives; keeps the first bytes of every connection."""

    def __init__(self, name, status=200):
        self.name, self.status, self.first = name, status, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            data = connection.recv(4096)
            self.first.append(data)
            if b"GET /healthz" in data:
                connection.sendall(f"HTTP/1.1 {self.status} x\r\n\r\n".encode())
            elif data and data != LOCAL:
                connection.sendall(self.name.encode())
                while data := connection.recv(4096):
                    connection.sendall(data)

    def close(self):
        self.listener.close()


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(namespace, "within", lambda _, function: function())
    node = Node("here", "127.0.0.1")
    node.start()
    yield node
    node.close()


@pytest.fixture
def targets():
    found = [Target("a"), Target("b")]
    yield found
    for target in found:
        target.close()


def group(*targets, **changes):
    return TargetGroup(ARN, tuple(target.endpoint for target in targets), **{"check": CHECK, **changes})


def configure(node, group):
    port = free_port()
    node.configure({port: group})
    return port


def ended(client):
    """Whether the connection was reset, as opposed to ended in order."""
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return False


def wait_state(node, target, state):
    wait_until(f"{target.name} {state}", lambda: node.states().get((ARN, target.endpoint)) is state, timeout=20)


def call(port, said=b"hello"):
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(said)
    return client, client.recv(4096).decode()


def served(port, times=30):
    found = set()
    for _ in range(times):
        client, name = call(port)
        client.close()
        found.add(name[:1])
    return found


def test_it_spreads_and_relays_both_ways(node, targets):
    port = configure(node, group(*targets))
    for target in targets:
        wait_state(node, target, State.HEALTHY)
    assert served(port) == {"a", "b"}
    client, _ = call(port)
    with client:
        client.sendall(b"again")
        assert b"again" in client.recv(4096)


def test_the_target_learns_the_clients_address(node, targets):
    port = configure(node, group(targets[0], proxy_protocol=True))
    wait_state(node, targets[0], State.HEALTHY)
    client, _ = call(port)
    with client:
        expected = header(client.getsockname(), ("127.0.0.1", port))
    wait_until("its header", lambda: any(data.startswith(expected) for data in targets[0].first), timeout=10)
    wait_until("the header of a health check", lambda: LOCAL in targets[0].first, timeout=10)


def test_a_sick_target_gets_nothing_new(node, targets):
    check = HealthCheck("HTTP", path="/healthz", matcher="200", interval=0.05, timeout=0.5, healthy=2, unhealthy=2)
    port = configure(node, group(*targets, check=check))
    for target in targets:
        wait_state(node, target, State.HEALTHY)
    targets[0].status = 503
    wait_state(node, targets[0], State.UNHEALTHY)
    assert served(port) == {"b"}
    targets[1].status = 503
    wait_state(node, targets[1], State.UNHEALTHY)
    assert served(port) == {"a", "b"}
    targets[1].status = 200
    wait_state(node, targets[1], State.HEALTHY)
    assert served(port) == {"b"}


@pytest.mark.parametrize("closes", [True, False])
def test_connections_to_a_target_that_falls_sick(node, targets, closes):
    check = HealthCheck("HTTP", path="/healthz", matcher="200", interval=0.05, timeout=0.5, healthy=2, unhealthy=2)
    port = configure(node, group(targets[0], check=check, close_when_unhealthy=closes))
    wait_state(node, targets[0], State.HEALTHY)
    client, _ = call(port)
    targets[0].status = 503
    wait_state(node, targets[0], State.UNHEALTHY)
    with client:
        if closes:
            assert ended(client)
        else:
            client.sendall(b"still there")
            assert b"still" in client.recv(4096)


@pytest.mark.parametrize("closes", [True, False])
def test_a_deregistered_target_drains(node, targets, closes):
    settings = {"drain": 6.0, "close_when_drained": closes}
    port = configure(node, group(*targets, **settings))
    for target in targets:
        wait_state(node, target, State.HEALTHY)
    name, kept = "", None
    while name[:1] != "a":
        kept, name = call(port)
    node.configure({port: group(targets[1], **settings)})
    assert node.states()[ARN, targets[0].endpoint] is State.DRAINING
    assert served(port) == {"b"}
    assert kept is not None
    with kept:
        kept.sendall(b"in flight")
        assert b"in" in kept.recv(4096)
        wait_until("it has drained", lambda: (ARN, targets[0].endpoint) not in node.states(), timeout=30)
        if closes:
            assert ended(kept)


def test_without_targets_a_connection_is_reset(node):
    port = configure(node, group())
    # The reset may come before connect() has returned.
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.recv(1)


def test_it_ends_with_all_its_connections(node, targets):
    port = configure(node, group(*targets))
    wait_state(node, targets[0], State.HEALTHY)
    client, _ = call(port)
    node.close()
    with client:
        assert ended(client)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
