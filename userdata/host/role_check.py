"""Answers over HTTP whether this MySQL is the writer or a reader (unit tripod-role-check.service).

HAProxy asks /writer and /reader (200 or 503, with the reason as JSON), the other members ask /state. The answer
is majority-aware: a member that was expelled still sees itself online, but not a majority of the configured
members. An answer is at most CACHE seconds old, and none takes longer than about a second: a hung mysqld is "no". A no
to /writer that everybody knows is held back for HOLD seconds, in case it becomes a yes.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pymysql

from .database import Connection, Database, Facts
from .database_state import DatabaseState, observe, read_view
from .group_memory import intended, read_state
from .replica_state import ReplicaState, observe_replica

CACHE = 0.1
QUERY_SECONDS = 0.5

# Whoever asks a member that has been no writer for so many seconds knows that. What it waits for is a yes, which must
# not wait for its next question: the no is held back for a while, less than HAProxy's `timeout check`.
KNOWN = 2.0
HOLD = 0.5
LOOK = 0.05
# The same once a member does not answer the group: in about a second another may be elected.
NEAR = 0.01

# mysqld, or the whole machine, stood still for longer than this: meanwhile its group may have elected another
# primary, which it takes a few seconds to learn. Until then it still believes that it is the writer.
STALL = 3.0
STEADY = 6.0
TICK = 0.5

# A reader whose data is older than this many seconds is no reader.
LAG_LIMIT = 5.0

log = logging.getLogger("tripod-role-check")


def writer(state: DatabaseState, majority: int, steady: bool = True) -> tuple[bool, str]:
    """Whether writes may come here, and why (not)."""
    if state.member_state != "ONLINE":
        return False, f"member is {state.member_state}"
    if not state.is_primary:
        return False, f"replica of {state.primary}"
    if state.online < majority:
        return False, f"{state.online} members online, {majority} needed"
    if not state.meant:
        return False, "not in the group that it came to join"
    if state.super_read_only:
        return False, "primary is read-only"
    if not steady:
        return False, f"stood still less than {STEADY:g} s ago: another primary may have been elected"
    return True, "primary"


def reader(state: DatabaseState, majority: int, steady: bool = True) -> tuple[bool, str]:
    """Whether reads may come here, and why (not)."""
    if state.member_state != "ONLINE":
        return False, f"member is {state.member_state}"
    if state.online < majority:
        return False, f"{state.online} members online, {majority} needed"
    if not state.meant:
        return False, "not in the group that it came to join"
    if state.lag > LAG_LIMIT:
        return False, f"{state.lag:.1f} s behind the primary"
    if not steady:
        return False, f"stood still less than {STEADY:g} s ago"
    return True, "primary" if state.is_primary else f"replica of {state.primary}"


def replica_reader(state: ReplicaState, limit: float, steady: bool = True) -> tuple[bool, str]:
    """Whether reads may come to this read replica, and why (not). `limit` is the age in seconds its data may have.

    Without a source (the group has no primary, for one) it serves what it has until that is too old.
    """
    if not state.super_read_only:
        return False, "read replica without super_read_only"
    if not state.provisioned:
        return False, "read replica without data"
    if not state.running:
        return False, f"read replica that does not follow: {state.error or 'replication is stopped'}"
    if state.lag is None:
        return False, "read replica that has not heard of the group yet"
    if state.lag > limit:
        return False, f"{state.lag:.1f} s behind the group"
    if not steady:
        return False, f"stood still less than {STEADY:g} s ago"
    return True, f"read replica of {state.source}"


class Probe:
    """The latest state of the local mysqld, asked again when it is too old."""

    def __init__(self, database: Callable[[], Database], connect: Callable[[], Connection]) -> None:
        self._database = database
        self._connect = connect
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._state: DatabaseState | ReplicaState | str = "never asked"
        self._stood_still = float("-inf")
        self._looked = float("-inf")
        self._open = False

    @property
    def steady(self) -> bool:
        """Whether mysqld has answered without a pause for some time."""
        return _now() - self._stood_still >= STEADY

    def keep_asking(self) -> None:
        """Ask for ever, so that a pause is noticed even when nobody else asks."""
        while True:
            self.ask()
            time.sleep(TICK)

    def ask(self, age: float = CACHE) -> DatabaseState | ReplicaState | str:
        """The state, at most `age` seconds old, or why there is none.

        One thread asks mysqld, the others wait for it, bounded.
        """
        asked = _now()
        if not self._lock.acquire(timeout=2 * QUERY_SECONDS):
            return "mysqld is slow to answer"
        try:
            # Measured from the call, not from now: after a wait the answer that was waited for is fresh.
            if asked - self._at > age:
                if asked - self._at > STALL and self._at > 0:
                    self._stood_still = asked
                self._state = self._refresh()
                self._at = _now()
            return self._state
        finally:
            self._lock.release()

    @property
    def look(self) -> float:
        """Seconds between two looks of those who wait for this server to become the writer."""
        state = self._state
        near = isinstance(state, DatabaseState) and "UNREACHABLE" in state.members.values()
        return NEAR if near else LOOK

    def takes_writes(self) -> bool:
        """Whether a new primary may have been elected here: the least question there is, for those who wait for that.

        At most `look` seconds old. False also when mysqld does not answer.
        """
        if not self._lock.acquire(timeout=2 * QUERY_SECONDS):
            return False
        try:
            if _now() - self._looked >= self.look:
                self._looked, self._open = _now(), False
                if self._connection:
                    self._open = not self._connection.row("SELECT @@GLOBAL.super_read_only AS closed")["closed"]
        except (pymysql.MySQLError, OSError) as error:
            # The next ask() finds out what is wrong.
            self._drop(error)
        finally:
            self._lock.release()
        return self._open

    def _drop(self, error: Exception) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
        if _timed_out(error):
            self._stood_still = _now()

    def _refresh(self) -> DatabaseState | ReplicaState | str:
        for attempt in (1, 2):
            reused = self._connection is not None
            try:
                self._connection = self._connection or self._connect()
                database = self._database()
                if database.read_replica:
                    return observe_replica(self._connection, database)
                return observe(self._connection, database, read_view(), intended(read_state()))
            except (pymysql.MySQLError, OSError, ValueError) as error:
                self._drop(error)
                if reused and attempt == 1 and not _timed_out(error):
                    continue  # mysqld was restarted since the last question: ask the new one
                return f"mysqld does not answer: {error}"
        raise AssertionError("unreachable")


def _now() -> float:
    """Seconds, counting those in which the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _timed_out(error: BaseException | None) -> bool:
    """PyMySQL wraps the socket's TimeoutError in an error of its own."""
    return error is not None and (isinstance(error, TimeoutError) or _timed_out(error.__context__))


class Handler(BaseHTTPRequestHandler):
    """GET /writer, /reader, /state."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 5
    # Header and body leave in one packet.
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer one question."""
        if self.path not in ("/writer", "/reader", "/state"):
            self._answer(HTTPStatus.NOT_FOUND, {"error": "ask /writer, /reader or /state"})
            return
        status, body = self._ask()
        if self.path == "/writer":
            until = time.monotonic() + HOLD
            while status is not HTTPStatus.OK and self.server.known_no_writer() and time.monotonic() < until:
                look = self.server.probe.look
                time.sleep(look)
                if self.server.probe.takes_writes():
                    status, body = self._ask(age=look)
            self.server.note_writer(status is HTTPStatus.OK)
        self._answer(status, body)

    def _ask(self, age: float = CACHE) -> tuple[HTTPStatus, dict[str, Any]]:
        state = self.server.probe.ask(age)
        if isinstance(state, str):
            return HTTPStatus.SERVICE_UNAVAILABLE, {"ok": False, "reason": state}
        if self.path == "/state":
            return HTTPStatus.OK, state.to_json()
        ok, reason = self._judge(state)
        status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
        return status, {"ok": ok, "reason": reason, "server": state.server}

    def _judge(self, state: DatabaseState | ReplicaState) -> tuple[bool, str]:
        database, steady = self.server.database(), self.server.probe.steady
        if isinstance(state, DatabaseState):
            return (writer if self.path == "/writer" else reader)(state, database.majority, steady)
        if self.path == "/writer":
            return False, "read replica: it never takes a write"
        return replica_reader(state, database.replica_lag_seconds, steady)

    def do_OPTIONS(self) -> None:
        """HAProxy's `option httpchk` without a method asks so."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        content = (json.dumps(body, sort_keys=True) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as in the base class
        """Nothing: every application server asks several times a second."""


class Server(ThreadingHTTPServer):
    """The HTTP server on the private address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], probe: Probe, database: Callable[[], Database]) -> None:
        self.probe = probe
        self.database = database
        self._no_writer_since: float | None = None
        super().__init__(address, Handler)

    def note_writer(self, ok: bool) -> None:
        """Remember since when the answer to /writer has been no."""
        if ok:
            self._no_writer_since = None
        elif self._no_writer_since is None:
            self._no_writer_since = time.monotonic()

    def known_no_writer(self) -> bool:
        """Whether the answer to /writer has been no for so long that all who ask often know it."""
        since = self._no_writer_since
        return since is not None and time.monotonic() - since > KNOWN

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left before it had its answer: a HAProxy that ends, or lost its patience."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> int:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    facts = Facts()
    database = facts()
    probe = Probe(facts, lambda: Connection("role_check", seconds=QUERY_SECONDS))
    threading.Thread(target=probe.keep_asking, daemon=True).start()
    server = Server((database.me.address, database.role_check_port), probe, facts)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("answering on %s:%d", *server.server_address)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
