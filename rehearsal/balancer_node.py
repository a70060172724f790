"""A node of an emulated Network Load Balancer: listens in its own network namespace, checks targets, relays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from rehearsal import namespace
from rehearsal.balancer_spec import Listeners
from rehearsal.proxy_protocol import LOCAL, Endpoint, header
from rehearsal.target_health import HealthCheck, State, TargetGroup, TargetHealth, choose

CHUNK = 65536
CONNECT_TIMEOUT = 10.0
BACKLOG = 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close() sends RST

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Relayed:
    """A connection that goes through the node."""

    group: str
    target: Endpoint
    writers: tuple[asyncio.StreamWriter, ...]

    def reset(self) -> None:
        """End it at once, with RST to both ends."""
        for writer in self.writers:
            _reset(writer)


class Node:
    """One address of the load balancer. All methods may be called from any thread.

    It is a thread of the rehearsal's own process, whose sockets are made in the namespace `name`: it ends with the
    process, however that ends. Each node checks the targets for itself, as AWS's do.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._loop = asyncio.new_event_loop()
        self._listeners: Listeners = {}
        self._servers: dict[int, asyncio.Server] = {}
        self._health: dict[tuple[str, Endpoint], TargetHealth] = {}
        self._checks: dict[tuple[str, Endpoint], asyncio.Task[None]] = {}
        self._leaving: dict[tuple[str, Endpoint], float] = {}
        self._relayed: set[Relayed] = set()
        self._thread = threading.Thread(
            target=lambda: namespace.within(name, self._run), name=f"node-{address}", daemon=True
        )

    def start(self) -> None:
        """Begin; nothing listens before configure()."""
        self._thread.start()

    def configure(self, listeners: Listeners) -> None:
        """Make listeners and targets those given; connections to a target that is gone live on while it drains.

        Raises OSError when a port cannot be listened on.
        """
        asyncio.run_coroutine_threadsafe(self._configure(listeners), self._loop).result(10)

    def states(self) -> dict[tuple[str, Endpoint], State]:
        """State of every target by (ARN of its group, target), those that drain included."""
        now = time.monotonic()
        found = {key: health.state for key, health in list(self._health.items())}
        return found | {key: State.DRAINING for key, until in list(self._leaving.items()) if until > now}

    def close(self) -> None:
        """Reset every connection, close every socket and end the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    # -- inside the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _end(self) -> None:
        await self._configure({})
        for relayed in list(self._relayed):
            relayed.reset()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _configure(self, listeners: Listeners) -> None:
        self._listeners = dict(listeners)
        for port in [port for port in self._servers if port not in listeners]:
            self._servers.pop(port).close()
        wanted = {(group.arn, target): group for group in listeners.values() for target in group.targets}
        for key in [key for key in self._checks if key not in wanted or self._health[key].check != wanted[key].check]:
            self._checks.pop(key).cancel()
            gone = self._health.pop(key)
            if key not in wanted:
                self._drain(key, gone)
        for key, group in wanted.items():
            self._leaving.pop(key, None)
            if key not in self._checks:
                self._health[key] = TargetHealth(group.check)
                self._checks[key] = asyncio.create_task(self._watch(key, group))
        for port in listeners:
            if port not in self._servers:
                self._servers[port] = await asyncio.start_server(
                    self._serve, self.address, port, backlog=BACKLOG, limit=CHUNK
                )

    def _drain(self, key: tuple[str, Endpoint], gone: TargetHealth) -> None:
        group = next((one for one in self._listeners.values() if one.arn == key[0]), None)
        if group is None or gone.state is State.INITIAL:
            return
        self._leaving[key] = time.monotonic() + group.drain
        _log.info("%s: %s:%d drains for %g s", self.address, *key[1], group.drain)
        if group.close_when_drained:
            self._loop.call_later(group.drain, self._close_drained, key)

    def _close_drained(self, key: tuple[str, Endpoint]) -> None:
        if key not in self._health:
            self._reset(key)

    def _reset(self, key: tuple[str, Endpoint]) -> None:
        for relayed in [one for one in self._relayed if (one.group, one.target) == key]:
            relayed.reset()

    async def _watch(self, key: tuple[str, Endpoint], group: TargetGroup) -> None:
        target, health = key[1], self._health[key]
        while True:
            began = self._loop.time()
            well = await check(target, group.check, LOCAL if group.proxy_protocol else b"")
            if health.saw(well=well):
                _log.info("%s: %s:%d is %s", self.address, *target, health.state)
                if health.state is State.UNHEALTHY and self._closes_unhealthy(group.arn):
                    self._reset(key)
            await asyncio.sleep(max(0.0, began + group.check.interval - self._loop.time()))

    def _closes_unhealthy(self, arn: str) -> bool:
        return any(one.close_when_unhealthy for one in self._listeners.values() if one.arn == arn)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        group = self._listeners.get(local[1])
        target = None if group is None else self._choose(group, (*client, secrets.randbits(32)))
        if group is None or target is None:
            _reset(writer)
            return
        try:
            answers, onward = await asyncio.wait_for(asyncio.open_connection(*target, limit=CHUNK), CONNECT_TIMEOUT)
        except OSError:  # a load balancer of layer 4 asks no other target (TimeoutError is one)
            _reset(writer)
            return
        relayed = Relayed(group.arn, target, (writer, onward))
        self._relayed.add(relayed)
        try:
            if group.proxy_protocol:
                onward.write(header(client[:2], local[:2]))
            await _both(_copy(reader, onward), _copy(answers, writer))
        except OSError:
            relayed.reset()
        finally:
            self._relayed.discard(relayed)
            for end in relayed.writers:
                end.close()

    def _choose(self, group: TargetGroup, flow: tuple[object, ...]) -> Endpoint | None:
        found = {target: self._health.get((group.arn, target)) for target in group.targets}
        return choose({target: health.state for target, health in found.items() if health is not None}, flow)


async def check(target: Endpoint, how: HealthCheck, preamble: bytes) -> bool:
    """Whether a target passes one health check. With proxy protocol, checks begin with its header too."""
    try:
        async with asyncio.timeout(how.timeout):
            return await _ask((target[0], how.port or target[1]), how, preamble)
    except (OSError, ValueError, IndexError):  # no connection, no answer in time, or no HTTP
        return False


async def _ask(target: Endpoint, how: HealthCheck, preamble: bytes) -> bool:
    reader, writer = await asyncio.open_connection(*target)
    try:
        writer.write(preamble)
        if how.protocol == "HTTPS":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as AWS: certificates are not checked
            await writer.start_tls(context)
        await writer.drain()
        if how.protocol not in {"HTTP", "HTTPS"}:
            return True
        request = f"GET {how.path} HTTP/1.1\r\nHost: {target[0]}:{target[1]}\r\nConnection: close\r\n"
        writer.write(f"{request}User-Agent: ELB-HealthChecker/2.0\r\n\r\n".encode())
        await writer.drain()
        return how.matches(int((await reader.readline()).split()[1]))
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _both(*ways: Coroutine[Any, Any, None]) -> None:
    """Run both directions to their ends; the failure of one ends the other."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
