"""Ships closed binary logs to S3 (tripod-binlog.service): every member its own, so one lost member leaves no gap."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .backup_store import BackupError, Store
from .binlog import ShippedLog, read
from .database import Connection
from .gtid import GtidSet

DATA = Path("/var/lib/mysql")
STATE = Path("/var/lib/tripod/backup/shipped.json")
# What is written is in the bucket after at most this many seconds, a look's pause and the time to send it.
CLOSE_SECONDS = 20.0
LOOK_SECONDS = 5.0

# With less of the volume free than NO_ROOM, the oldest logs go until ROOM is free. A backup leaves as much as NO_ROOM
# (backup_mysqld.FREE_FRACTION), the alert on the volume comes at twice of it.
NO_ROOM, ROOM = 0.05, 0.1

log = logging.getLogger("tripod-binlog")


class Shipper:
    """Ships what is new. `server` is this server's name."""

    def __init__(self, store: Store, server: str, data: Path = DATA, state: Path = STATE) -> None:
        self._store = store
        self._server = server
        self._data = data
        self._state = state
        self._closed = float("-inf")

    def look(self, *, at_once: bool = False) -> int:
        """Close the present log when it is due (or `at_once`), send what is closed; how many files were sent.

        Raises pymysql.MySQLError, OSError, BackupError or botocore's errors; what was sent stays known.
        """
        with Connection(seconds=60) as connection:
            if (at_once or time.monotonic() - self._closed >= CLOSE_SECONDS) and _has_events(connection):
                # This file's events are to be shipped, not the flush itself.
                connection.run("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")
                self._closed = time.monotonic()
            server_uuid = connection.row("SELECT @@global.server_uuid AS uuid")["uuid"]
            # Not SHOW BINARY LOGS, which opens every file: a member keeps ten thousand and more.
            current = _current(connection)
            names = self._names()

            def previous(number: int) -> GtidSet:
                return _previous(connection, names[number + 1])

            closed = names.index(current)
            try:
                return self._send_new(names, closed, server_uuid, previous)
            finally:
                self._make_room(connection, names, closed)

    def look_at_files(self) -> int:
        """The same while mysqld is down: every file is closed then, also the last; how many files were sent.

        Raises OSError when the files are gone, BackupError when the last one was cut off in the middle.
        """
        names = self._names()
        identity = (self._data / "auto.cnf").read_text()
        server_uuid = next(line.partition("=")[2] for line in identity.splitlines() if line.startswith("server-uuid"))
        return self._send_new(names, len(names), server_uuid.strip(), lambda _: None)

    def _names(self) -> list[str]:
        return [Path(line).name for line in (self._data / "binlog.index").read_text().splitlines() if line]

    def _send_new(
        self, names: list[str], closed: int, server_uuid: str, previous: Callable[[int], GtidSet | None]
    ) -> int:
        """Send what is new of the first `closed` files; how many. One that cannot be read keeps no other back."""
        shipped, there, sent = self._shipped(), set(names), 0
        unreadable: BackupError | None = None
        for number, name in enumerate(names[:closed]):
            mark = self._mark(self._data / name)
            if shipped.get(name) != mark:
                try:
                    self._send(self._data / name, server_uuid, previous(number))
                except BackupError as error:
                    unreadable = unreadable or error
                    continue
                shipped[name] = mark
                shipped = {known: value for known, value in shipped.items() if known in there}
                self._remember(shipped)
                sent += 1
        if unreadable:
            raise unreadable
        return sent

    def _make_room(self, connection: Connection, names: list[str], closed: int) -> None:
        """Remove the oldest of the first `closed` files that are shipped when the volume is nearly full.

        All members have the same logs, so they would be full at the same time, and none would be left to write. What
        it costs: a member that was away for longer than the logs reach is cloned.
        """
        disk = shutil.disk_usage(self._data)
        lacking = disk.total * ROOM - disk.free
        if lacking <= disk.total * (ROOM - NO_ROOM):
            return
        shipped, upto = self._shipped(), 0
        for name in names[:closed]:
            mark = self._mark(self._data / name)
            if lacking <= 0 or shipped.get(name) != mark:
                break
            lacking -= mark[1]
            upto += 1
        if upto == 0:
            return
        connection.run("PURGE BINARY LOGS TO %s", (names[upto],))
        log.warning("the data volume is nearly full: removed %d binary logs that are in the bucket", upto)

    def _send(self, path: Path, server_uuid: str, after: GtidSet | None) -> None:
        content = read(path)
        if after is not None and content.previous | content.gtids != after:
            raise BackupError(f"{path.name} was read as {content.gtids}, but MySQL says {after - content.previous}")
        if not content.gtids:
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        prefix = f"data/{self._store.timeline():04d}/binlogs/{self._server}/{server_uuid}/{path.name}-{digest[:12]}"
        with subprocess.Popen(["zstd", "--quiet", "-3", "--stdout", str(path)], stdout=subprocess.PIPE) as squeezing:
            assert squeezing.stdout is not None  # noqa: S101  a pipe

            def complete() -> None:
                if squeezing.wait() != 0:
                    raise BackupError(f"zstd ended with {squeezing.returncode} on {path}")

            stored = self._store.upload(f"{prefix}.zst", squeezing.stdout, complete)
        entry = ShippedLog(
            self._server, server_uuid, path.name, content.previous, content.gtids, content.first, content.last, stored
        )
        self._store.write(f"{prefix}.json", entry.to_json())
        log.info("shipped %s (%d transactions)", path.name, content.gtids.count)

    def _mark(self, path: Path) -> list[int]:
        """Tells a file from another of the same name: a data directory that was made anew begins at 1 again."""
        status = path.stat()
        return [status.st_ino, status.st_size, status.st_mtime_ns]

    def _shipped(self) -> dict[str, list[int]]:
        if not self._state.exists():
            return {}
        found: dict[str, list[int]] = json.loads(self._state.read_text())
        return found

    def _remember(self, shipped: dict[str, list[int]]) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(shipped))
        new.replace(self._state)


def _current(connection: Connection) -> str:
    """The file that is written to; all before it are closed."""
    return str(connection.row("SHOW BINARY LOG STATUS")["file"])


def _has_events(connection: Connection) -> bool:
    # The first two are the format and the GTIDs before it.
    return len(connection.rows("SHOW BINLOG EVENTS IN %s LIMIT 3", (_current(connection),))) > 2


def _previous(connection: Connection, name: str) -> GtidSet:
    """Every GTID before a log, as MySQL wrote it at its beginning."""
    events = connection.rows("SHOW BINLOG EVENTS IN %s LIMIT 2", (name,))
    return GtidSet.parse(next(row["info"] for row in events if row["event_type"] == "Previous_gtids"))
