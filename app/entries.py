"""The guestbook's entries: what is stored, and how it survives the loss of a database server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TypeVar

from .bulkhead import Bulkhead
from .connection import Connection, DatabaseError, DuplicateKeyError, Row, open_connection
from .deadline import Deadline
from .errors import EntryNotFoundError, OutcomeUnknownError, OverloadedError, UnavailableError
from .pool import Pool, PoolLimits
from .settings import Settings
from .turns import Turns

# Seconds a request may take. A write waits for a new primary to be elected only so long: the
# thread it holds is lost to readers, and a client that repeats with its key loses nothing.
WRITE_BUDGET = 5.0
READ_BUDGET = 3.0
HEALTH_BUDGET = 1.5  # less than the 2 s that a health check waits
CONFIRM_BUDGET = 1.0
# After this long without an answer an attempt is given up and made again on another connection.
# A read's last attempt gets all the time that is left: a hung or lost server must fail neither a page nor a health
# check, and be noticed soon, since it may come up twice in a row; a slow one still gets most of the time.
WRITE_ATTEMPT = 3.0
WRITE_PATIENCE = 1.0
READ_ATTEMPTS = (0.3, 0.6)
RETRY_PAUSE = 0.05
WRITE_SPACING = 0.01  # between the tries of all writes that wait for a new primary

INSERT = (
    "INSERT INTO entries (`key`, text, written_by)"
    " VALUES (%s, %s, COALESCE(NULLIF(@@GLOBAL.report_host, ''), @@GLOBAL.hostname))"
)
BY_ID = "SELECT id, `key`, text, created_at, written_by FROM entries WHERE id = %s"
BY_KEY = "SELECT id, `key`, text, created_at, written_by FROM entries WHERE `key` = %s"
AFTER = "SELECT id, `key`, text, created_at, written_by FROM entries WHERE id > %s ORDER BY id LIMIT %s"
BEFORE = "SELECT id, `key`, text, created_at, written_by FROM entries WHERE id < %s ORDER BY id DESC LIMIT %s"
PROBE = "SELECT id FROM entries ORDER BY id DESC LIMIT 1"
LARGEST_ID = 2**63 - 1

log = logging.getLogger("tripod.app")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Entry:
    """One row of `entries`; `written_by` is the database server that executed the INSERT."""

    id: int
    key: str
    text: str
    created_at: datetime
    written_by: str

    @classmethod
    def from_row(cls, row: Row) -> Entry:
        identifier, key, text, created_at, written_by = row
        return cls(int(identifier), key, text, created_at.replace(tzinfo=UTC), written_by)

    def as_json(self) -> dict[str, object]:
        stamp = self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return asdict(self) | {"created_at": stamp}


@dataclass(frozen=True)
class Written:
    """The entry of a key after the commit; `created` is false when it was there before."""

    entry: Entry
    created: bool


@dataclass(frozen=True)
class Read:
    """Entries, and the database server that they were read from."""

    entries: tuple[Entry, ...]
    read_from: str


class Entries:
    """Reads from any reader and writes to the one writer."""

    def __init__(self, writer: Pool, reader: Pool, *, writes_at_once: int = 16) -> None:
        self._writer = writer
        self._reader = reader
        self._writes = Bulkhead(writes_at_once, WRITE_PATIENCE)
        self._pause = threading.Event()
        self._turns = Turns(WRITE_SPACING)

    @classmethod
    def connect(cls, settings: Settings) -> Entries:
        """Make the pools; connections are opened when they are first needed.

        Writes are a bulkhead: when all of them wait for a primary to be elected, half of the
        threads still serve reads.
        """
        writers = max(2, settings.threads // 4)
        return cls(
            writer=Pool(
                lambda deadline: open_connection(settings.writer, deadline, autocommit=False),
                PoolLimits(size=writers, queue=settings.threads),
            ),
            reader=Pool(
                lambda deadline: open_connection(settings.reader, deadline, autocommit=True),
                # 6 connections are spread evenly over 2, 3 or 6 readers.
                PoolLimits(size=settings.threads, queue=settings.threads, spread=6, max_age=30.0),
            ),
            writes_at_once=settings.threads // 2,
        )

    def add(self, key: str, text: str) -> Written:
        """Store an entry once, and return only after its commit.

        Whatever breaks is tried again until the budget ends; the unique key makes that safe.
        Raises OutcomeUnknownError when a commit was sent and its result is not known, UnavailableError
        when certainly nothing was stored.
        """
        with self._writes.place():
            return self._add(key, text)

    def _add(self, key: str, text: str) -> Written:
        deadline = Deadline(WRITE_BUDGET)
        uncertain, attempt = False, 0
        while True:
            try:
                with self._writer.connection(deadline) as connection:
                    connection.bound(Deadline(min(WRITE_ATTEMPT, deadline.remaining())))
                    written = _insert_once(connection, key, text, tried_before=uncertain)
            except (DatabaseError, OutcomeUnknownError) as error:
                uncertain = uncertain or isinstance(error, OutcomeUnknownError)
                self._writes.report(failing=True)
                if self._again("write", attempt := attempt + 1, error, deadline):
                    if attempt > 1:
                        self._turns.wait(deadline.remaining() - RETRY_PAUSE)  # some time is left for the attempt
                    continue
                cause: Exception = error
            except OverloadedError as error:
                cause = error
            else:
                self._writes.report(failing=False)
                self._turns.succeeded()
                return written
            if uncertain:
                raise OutcomeUnknownError(
                    "The connection was lost during the commit; repeat with the same key to settle it."
                ) from cause
            raise UnavailableError("No database server accepts writes now; nothing was stored.") from cause

    def get(self, key: str) -> Read:
        """The entry of `key`; a replica may lag, so only the writer can say that there is none.

        Raises EntryNotFoundError, or UnavailableError when no reader has it and no writer answers.
        """
        found = self._read(lambda connection: connection.query(BY_KEY, (key,)), READ_BUDGET)
        if found.entries:
            return found
        try:
            with self._writer.connection(Deadline(CONFIRM_BUDGET)) as connection:
                rows = connection.query(BY_KEY, (key,))
                connection.rollback()  # ends the snapshot
                confirmed = Read(tuple(map(Entry.from_row, rows)), connection.server)
        except DatabaseError as error:
            log.warning("cannot confirm that an entry is missing: %s", error)
            raise UnavailableError("No replica has this entry yet, and the primary cannot be asked now.") from error
        if not confirmed.entries:
            raise EntryNotFoundError("There is no entry with this key.")
        return confirmed

    def after(self, identifier: int, limit: int) -> Read:
        """At most `limit` entries with a larger id, in ascending order.

        Ids are handed out before the commit: an entry may appear after one with a larger id.
        """
        return self._read(lambda connection: connection.query(AFTER, (identifier, limit)), READ_BUDGET)

    def latest(self, limit: int, before: int = LARGEST_ID) -> Read:
        """At most `limit` entries with a smaller id than `before`, newest first."""
        return self._read(lambda connection: connection.query(BEFORE, (before, limit)), READ_BUDGET)

    def probe(self) -> str:
        """Read from the table, and name the server that answered; UnavailableError when none did."""

        def read(connection: Connection) -> list[Row]:
            connection.query(PROBE)
            return []

        return self._read(read, HEALTH_BUDGET).read_from

    def _read(self, query: Callable[[Connection], list[Row]], budget: float) -> Read:
        deadline = Deadline(budget)
        attempt = 0
        while True:
            try:
                patience = Deadline(min([deadline.remaining(), *READ_ATTEMPTS[attempt : attempt + 1]]))
                with self._reader.connection(patience) as connection:
                    rows = query(connection)
                    return Read(tuple(map(Entry.from_row, rows)), connection.server)
            except DatabaseError as error:
                if not self._again("read", attempt := attempt + 1, error, deadline):
                    raise UnavailableError("No database server can be read from now.") from error
                if attempt > 1:
                    self._pause.wait(RETRY_PAUSE)

    @staticmethod
    def _again(action: str, attempt: int, error: Exception, deadline: Deadline) -> bool:
        """Whether there is time for another attempt. Logs the first that failed, and the last."""
        again = deadline.allows(2 * RETRY_PAUSE)
        if attempt == 1 or not again:
            outcome = "trying again" if again else "giving up"
            log.warning("%s failed, %s: %s", action, outcome, error, extra={"attempt": attempt})
        return again


def _insert_once(connection: Connection, key: str, text: str, *, tried_before: bool) -> Written:
    """One attempt. OutcomeUnknownError when the commit failed, whatever the server says of it.

    Group Replication can report an error for a transaction that the majority has accepted
    already, so no error of a commit proves that nothing happened.
    """
    try:
        identifier = connection.insert(INSERT, (key, text))
    except DuplicateKeyError:
        connection.rollback()
        rows = connection.query(BY_KEY, (key,))
        connection.rollback()
        if not rows:
            raise
        entry = Entry.from_row(rows[0])
        # The first attempt's INSERT did not meet the key, so the row is that attempt's.
        return Written(entry, created=tried_before and entry.text == text)
    entry = Entry.from_row(connection.query(BY_ID, (identifier,))[0])
    try:
        connection.commit()
    except DatabaseError as error:
        raise OutcomeUnknownError(str(error)) from error
    return Written(entry, created=True)
