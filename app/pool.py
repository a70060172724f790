"""A small pool of connections to one endpoint, shared by the threads of a worker."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .connection import Connection, ConnectionLostError
from .deadline import Deadline
from .errors import OverloadedError

Connect = Callable[[Deadline], Connection]


@dataclass(frozen=True)
class PoolLimits:
    """`size`: connections in use at once. `queue`: threads that may wait for one of them.

    `spread`: connections opened before an idle one is used again. HAProxy chooses a server per
    connection, so this many consecutive requests reach different servers. `max_age` and
    `connect_timeout` in seconds; an old connection is replaced so that a server that came back
    gets its share again.
    """

    size: int
    queue: int
    spread: int = 1
    max_age: float = 60.0
    connect_timeout: float = 1.0


@dataclass(frozen=True)
class _Pooled:
    connection: Connection
    opened: float


class Pool:
    """Hands out connections in turn, oldest idle first; broken ones never come back."""

    def __init__(self, connect: Connect, limits: PoolLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        self._idle: deque[_Pooled] = deque()
        self._in_use = 0
        self._waiting = 0

    @contextmanager
    def connection(self, deadline: Deadline) -> Iterator[Connection]:
        """Lend a connection for the block; an exception in the block closes it.

        Raises OverloadedError when none becomes free in time, DatabaseError when none can be opened.
        """
        self._reserve(deadline)
        pooled: _Pooled | None = None
        healthy = False
        try:
            pooled = self._idle_one() or self._open(deadline)
            pooled.connection.bound(deadline)
            yield pooled.connection
            healthy = True
        finally:
            self._release(pooled, healthy)

    def _reserve(self, deadline: Deadline) -> None:
        with self._changed:
            if self._in_use >= self._limits.size:
                if self._waiting >= self._limits.queue:
                    raise OverloadedError("too many requests are waiting for the database")
                self._waiting += 1
                try:
                    free = self._changed.wait_for(lambda: self._in_use < self._limits.size, deadline.remaining())
                finally:
                    self._waiting -= 1
                if not free:
                    raise OverloadedError("no database connection became free in time")
            self._in_use += 1

    def _idle_one(self) -> _Pooled | None:
        while True:
            with self._changed:
                # _in_use counts the caller already.
                if not self._idle or len(self._idle) + self._in_use <= self._limits.spread:
                    return None
                pooled = self._idle.popleft()
            too_old = self._clock() - pooled.opened > self._limits.max_age
            if not too_old and not pooled.connection.stale():
                return pooled
            pooled.connection.close()

    def _open(self, deadline: Deadline) -> _Pooled:
        wait = Deadline(min(self._limits.connect_timeout, deadline.remaining()))
        try:
            return _Pooled(self._connect(wait), self._clock())
        except ConnectionLostError:
            # A spare connection is as good, when the endpoint takes no new ones.
            with self._changed:
                spare = self._idle.popleft() if self._idle else None
            if spare is None:
                raise
            if spare.connection.stale():
                spare.connection.close()
                raise
            return spare

    def _release(self, pooled: _Pooled | None, healthy: bool) -> None:
        doomed = [] if healthy or pooled is None else [pooled]
        with self._changed:
            if healthy and pooled is not None:
                self._idle.append(pooled)
            elif pooled is not None:
                # Its neighbours to the same server would cost a time-out each.
                server = pooled.connection.server
                doomed += [other for other in self._idle if other.connection.server == server]
                self._idle = deque(other for other in self._idle if other.connection.server != server)
            self._in_use -= 1
            self._changed.notify()
        for each in doomed:
            each.connection.close()
