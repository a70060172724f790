"""Hand the group's primary over to another member: run on the current primary, as root.

Usage: python3 - NAME ADDRESS QUEUE WAIT DRAIN. NAME and ADDRESS are the new primary's; QUEUE is the number of
transactions it may still have to apply when the hand-over starts, WAIT the seconds it gets to come down to that,
DRAIN the seconds running transactions get to end (group_replication_set_as_primary's second argument, 0 to 3600).

Prints JSON: {"old": uuid, "new": uuid, "seconds": how long MySQL took, "gap_ms": milliseconds between this server
refusing writes and the new primary's role check passing, or null when it was not seen, "error": null | "..."}.
Exit code 1 when there is an error; then nothing was handed over, unless the error says otherwise.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

SOCKET = "/run/mysqld/mysqld.sock"
ROLE_CHECK_PORT = 3380
# Group members exchange the sizes of their queues every second (replication_group_member_stats).
QUEUE_POLL_SECONDS = 0.25
WATCH_SECONDS = 0.002
# How long after MySQL's answer the new primary's role check may take to say so.
CONFIRM_SECONDS = 10.0

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

MEMBERS = """
    SELECT m.MEMBER_ID, m.MEMBER_HOST, m.MEMBER_STATE, m.MEMBER_ROLE,
           COALESCE(s.COUNT_TRANSACTIONS_IN_QUEUE, 0) + COALESCE(s.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE, 0)
    FROM performance_schema.replication_group_members m
    LEFT JOIN performance_schema.replication_group_member_stats s ON s.MEMBER_ID = m.MEMBER_ID
"""


class SwitchoverError(Exception):
    """Why nothing was handed over."""


@dataclass(frozen=True)
class Member:
    """One row of the group. `queue` counts transactions to certify or apply."""

    uuid: str
    host: str
    state: str
    role: str
    queue: int


def members(query: Query) -> list[Member]:
    """The group as this server sees it."""
    return [Member(str(i), str(h), str(s), str(r), int(q)) for i, h, s, r, q in query(MEMBERS, ())]


def check(query: Query, name: str, address: str) -> tuple[Member, Member]:
    """This server and the target. Raises SwitchoverError when the hand-over makes no sense."""
    (own_uuid,) = query("SELECT @@GLOBAL.server_uuid", ())[0]
    group = members(query)
    own = next((m for m in group if m.uuid == own_uuid), None)
    if own is None or own.state != "ONLINE" or own.role != "PRIMARY":
        raise SwitchoverError("this server is not the primary any more")
    # MEMBER_HOST is the member's report_host.
    target = next((m for m in group if m.host in {name, address}), None)
    if target is None:
        raise SwitchoverError(f"{name} is not a member of the group")
    if target.uuid == own.uuid:
        raise SwitchoverError(f"{name} is the primary already")
    if target.state != "ONLINE":
        raise SwitchoverError(f"{name} is {target.state}, not ONLINE")
    return own, target


def wait_for_queue(query: Query, target: Member, limit: int, seconds: float, sleep: Callable[[float], None]) -> None:
    """Return when the target has at most `limit` transactions to apply. Raises SwitchoverError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = next((m for m in members(query) if m.uuid == target.uuid), None)
        if seen is None or seen.state != "ONLINE":
            raise SwitchoverError("the target left the group while it was catching up")
        if seen.queue <= limit:
            return
        if time.monotonic() >= deadline:
            raise SwitchoverError(
                f"the target still has {seen.queue} transactions to apply after {seconds:.0f} s (allowed: {limit})"
            )
        sleep(QUEUE_POLL_SECONDS)


class Watch:
    """Notes, on one clock, when this server began to refuse writes and when the target's role check passed."""

    def __init__(self, read_only: Callable[[], bool], writer: Callable[[], bool]) -> None:
        self.closed: float | None = None
        self.opened: float | None = None
        self.error: Exception | None = None
        self._read_only = read_only
        self._writer = writer
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_closed, daemon=True),
            threading.Thread(target=self._watch_opened, daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float) -> float | None:
        """The gap in milliseconds; None when one of both ends was not seen within `seconds`."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._stop.set()
        if self.closed is None or self.opened is None:
            return None
        return max(0.0, (self.opened - self.closed) * 1000)

    def _watch_closed(self) -> None:
        try:
            while not self._stop.is_set():
                if self._read_only():
                    self.closed = time.monotonic()
                    return
                self._stop.wait(WATCH_SECONDS)
        except pymysql.MySQLError as error:
            # Kept for the report: the hand-over itself does not depend on the watch.
            self.error = error

    def _watch_opened(self) -> None:
        while not self._stop.is_set():
            if self._writer():
                self.opened = time.monotonic()
                return
            self._stop.wait(WATCH_SECONDS)


def connect() -> tuple[Query, Callable[[], None]]:
    """A query function on root's local connection, and how to close it."""
    connection = pymysql.connect(unix_socket=SOCKET, user="root", autocommit=True, ssl_disabled=True)

    def query(sql: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, arguments or None)
            return list(cursor.fetchall())

    return query, connection.close


def role_check(address: str) -> Callable[[], bool]:
    """Whether the role check at `address` says it may be written to."""
    url = f"http://{address}:{ROLE_CHECK_PORT}/writer"
    # No proxy of the environment stands between two servers of a stack.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def passes() -> bool:
        try:
            with opener.open(url, timeout=1) as answer:
                return int(answer.status) == 200
        except OSError:
            # 503 (not the writer yet) is an OSError of urllib too.
            return False

    return passes


def switch(name: str, address: str, queue: int, wait: float, drain: int) -> dict[str, Any]:
    """Check, wait, hand over. Raises SwitchoverError or pymysql.MySQLError."""
    query, close = connect()
    watching, close_watching = connect()
    try:
        own, target = check(query, name, address)
        wait_for_queue(query, target, queue, wait, time.sleep)
        watch = Watch(lambda: bool(watching("SELECT @@GLOBAL.super_read_only", ())[0][0]), role_check(address))
        watch.start()
        began = time.monotonic()
        query("SELECT group_replication_set_as_primary(%s, %s)", (target.uuid, drain))
        seconds = time.monotonic() - began
        gap = watch.finish(CONFIRM_SECONDS)
        return {"old": own.uuid, "new": target.uuid, "seconds": seconds, "gap_ms": gap, "error": None}
    finally:
        close()
        close_watching()


def main(arguments: Sequence[str]) -> int:
    """Print the report; 0 when the primary was handed over, else 1."""
    name, address, queue, wait, drain = arguments
    try:
        report = switch(name, address, int(queue), float(wait), int(drain))
    except (SwitchoverError, pymysql.MySQLError) as error:
        report = {"old": None, "new": None, "seconds": None, "gap_ms": None, "error": str(error)}
    print(json.dumps(report))
    return 0 if report["error"] is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
