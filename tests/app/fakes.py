"""A database layer in memory, with the faults of a real one on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app import entries as sql
from app.connection import ConnectionLostError, DuplicateKeyError, Row, StatementFailedError
from app.deadline import Deadline

START = datetime(2026, 11, 24, 5, 0)  # noqa: DTZ001 - MySQL's DATETIME has no time zone


def created(number: int) -> datetime:
    return START + timedelta(seconds=number)


@dataclass
class FakeDatabase:
    """The rows of the group, and how many times each fault is still to happen."""

    rows: list[Row] = field(default_factory=list)
    writer: str = "server-1"
    readers: tuple[str, ...] = ("server-1", "server-2", "server-3")
    refuse_connections: int = 0
    refuse_writes: int = 0
    break_queries: int = 0
    # "lost": the commit happens, its answer does not arrive; "dropped": it does not happen either.
    break_commits: list[str] = field(default_factory=list)
    replicas_lag: bool = False
    hung: str | None = None  # the server that answers nothing
    opened: list[FakeConnection] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def connect_writer(self, deadline: Deadline) -> FakeConnection:
        return self._connect(self.writer, writes=True)

    def connect_reader(self, deadline: Deadline) -> FakeConnection:
        return self._connect(self.readers[len(self.opened) % len(self.readers)], writes=False)

    def happens(self, fault: str) -> bool:
        with self.lock:
            left = getattr(self, fault)
            setattr(self, fault, max(0, left - 1))
            return bool(left)

    def add(self, key: str, text: str) -> Row:
        with self.lock:
            number = len(self.rows) + 1
            row = (number, key, text, created(number), self.writer)
            self.rows.append(row)
            return row

    def _connect(self, server: str, *, writes: bool) -> FakeConnection:
        if self.happens("refuse_connections"):
            raise ConnectionLostError("refused")
        connection = FakeConnection(self, server, writes)
        self.opened.append(connection)
        return connection


@dataclass
class FakeConnection:
    database: FakeDatabase
    server: str
    writes: bool
    closed: bool = False
    hung_up: bool = False
    pending: tuple[str, str] | None = None
    deadline: Deadline | None = None
    waiting: threading.Event = field(default_factory=threading.Event)

    def bound(self, deadline: Deadline) -> None:
        self.deadline = deadline

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        self._alive()
        if not self.writes and self.database.happens("break_queries"):
            raise ConnectionLostError("lost during query")
        lagging = self.database.replicas_lag and not self.writes
        rows = [] if lagging else list(self.database.rows)
        if self.pending:
            rows.append((len(rows) + 1, *self.pending, created(len(rows) + 1), self.server))
        select: dict[str, Callable[[], list[Row]]] = {
            sql.BY_ID: lambda: [row for row in rows if row[0] == parameters[0]],
            sql.BY_KEY: lambda: [row for row in rows if row[1] == parameters[0]],
            sql.AFTER: lambda: [row for row in rows if row[0] > parameters[0]][: int(str(parameters[1]))],
            sql.BEFORE: lambda: [row for row in rows if row[0] < parameters[0]][::-1][: int(str(parameters[1]))],
            sql.PROBE: lambda: rows[-1:],
        }
        return select[statement]()

    def insert(self, statement: str, parameters: Sequence[object]) -> int:
        assert statement == sql.INSERT
        self._alive()
        if self.database.happens("refuse_writes"):
            raise StatementFailedError("(1290) running with --super-read-only")
        key, text = (str(parameter) for parameter in parameters)
        if any(row[1] == key for row in self.database.rows):
            raise DuplicateKeyError(key)
        self.pending = (key, text)
        return len(self.database.rows) + 1

    def commit(self) -> None:
        self._alive()
        assert self.pending
        fault = self.database.break_commits.pop(0) if self.database.break_commits else None
        if fault != "dropped":
            self.database.add(*self.pending)
        self.pending = None
        if fault:
            raise ConnectionLostError("lost during commit")

    def rollback(self) -> None:
        self._alive()
        self.pending = None

    def stale(self) -> bool:
        return self.hung_up

    def close(self) -> None:
        self.closed = True

    def _alive(self) -> None:
        assert not self.closed, "a closed connection was used"
        if self.server == self.database.hung:
            assert self.deadline
            self.waiting.wait(self.deadline.remaining())
            raise ConnectionLostError("timed out")
        if self.hung_up:
            raise ConnectionLostError("hung up")
