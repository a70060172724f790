"""Makes a backup: a clone of this member by MySQL itself, proved by starting it, compressed and streamed to S3."""

from __future__ import annotations

import logging
import ssl
import subprocess
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

from . import backup_mysqld
from .backup_mysqld import Report
from .backup_plan import Backup
from .backup_store import BackupError, Store, Stored
from .database import Connection, Database
from .database_state import View, observe
from .group_memory import intended, read_state

# A clone of a full data volume at a slow volume's pace takes hours.
CLONE_SECONDS = 6 * 3600.0
# A try at a backup does nothing when there is one that is younger than this.
NIGHT_SECONDS = 12 * 3600.0
DATA = Path("/var/lib/mysql")
# How long a clone that is ended may take to undo what it did.
UNDO_SECONDS = 30.0

log = logging.getLogger("tripod-backup")

_TURN = """
SELECT member_host FROM performance_schema.replication_group_members
WHERE member_state = 'ONLINE' AND (member_role = 'SECONDARY' OR
  (SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE') = 1)
"""


def whose_turn() -> str | None:
    """The server that makes the backup: the first ONLINE replica by name; a primary only when it is alone."""
    with Connection(seconds=30) as connection:
        names = [row["member_host"] for row in connection.rows(_TURN)]
    return min(names, key=lambda name: (len(name), name), default=None)


def due(store: Store, database: Database, now: float) -> str | None:
    """Why this server makes no backup now; None when it has the turn, which is then claimed."""
    backups = find(store, store.timeline())
    if any(now - backup.copied / 1e6 < NIGHT_SECONDS for backup in backups):
        return "this night's backup is there already"
    turn = whose_turn()
    if turn != database.server:
        return f"it is the turn of {turn or 'nobody: no member is ONLINE'}"
    hour = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H")
    if not store.create(f"data/claims/{hour}.json", {"server": database.server, "at": now}):
        return "another server claimed this hour's backup"
    return None


def find(store: Store, timeline: int) -> list[Backup]:
    """The backups of a timeline, oldest first."""
    keys = [key for key in store.keys(f"data/{timeline:04d}/backups/") if key.endswith("/manifest.json")]
    return sorted((Backup.from_json(store.read(key)) for key in keys), key=lambda backup: backup.copied)


def make(store: Store, database: Database, report: Report) -> Backup:
    """Make one now. Raises BackupError, pymysql.MySQLError, OSError or botocore's errors; there is none then."""
    # Before anything is copied: a restore of the stack meanwhile begins another, to which these data do not belong.
    timeline = store.timeline()
    _require_member(database)
    started = datetime.now(UTC)
    name = f"{started.strftime('%Y%m%dT%H%M%SZ')}-{database.server}-{uuid.uuid4().hex[:6]}"
    scratch = backup_mysqld.make(f"clone-{name}", backup_mysqld.clone_size(DATA))
    try:
        report("cloning")
        _clone(database, str(scratch.data))
        copied = int(time.time() * 1_000_000)
        # Starting the copy proves it, and only then is it known what it holds.
        report("starting the copy")
        scratch.start()
        gtids = scratch.executed()
        with scratch.connect(30) as connection:
            version = str(connection.row("SELECT @@version AS version")["version"])
        scratch.stop()
        report("compressing and sending")
        prefix = f"data/{timeline:04d}/backups/{database.server}/{name}"
        size = backup_mysqld.size(scratch.data)
        stored = _send(store, f"{prefix}/data.tar.zst", scratch, size)
        backup = Backup(name, database.server, version, gtids, copied, stored, size)
        manifest: dict[str, Any] = {
            **backup.to_json(),
            "started": started.isoformat(),
            "ended": datetime.now(UTC).isoformat(),
        }
        if store.timeline() != timeline:
            raise BackupError("the stack was restored meanwhile: what was copied is of the time before")
        store.write(f"{prefix}/manifest.json", manifest)
    finally:
        scratch.remove()
    return backup


def _require_member(database: Database) -> None:
    """BackupError unless this server is in the group: one outside it may hold what the stack's database never had.

    A copy of that would be the newest backup, from which every restore begins.
    """
    with Connection(seconds=30) as connection:
        state = observe(connection, database, View(), intended(read_state()))
    if not state.sound:
        raise BackupError(
            f"the database of {database.server} is {state.member_state} and reaches no majority of its group, so its "
            f"data need not be the stack's; make the backup on a member that is ONLINE (--server)"
        )


def _clone(database: Database, directory: str) -> None:
    """CLONE LOCAL as the backup account, over TLS."""
    connection = pymysql.connect(
        host=database.me.address,
        port=database.mysql_port,
        user="backup",
        password=database.password("backup"),
        ssl=ssl.create_default_context(cafile=database.ca_file),
        connect_timeout=10,
        read_timeout=CLONE_SECONDS,
        autocommit=True,
    )
    with closing(connection), connection.cursor() as cursor:
        try:
            cursor.execute("CLONE LOCAL DATA DIRECTORY = %s", (directory,))
        except BaseException:
            # SIGTERM, or no answer within CLONE_SECONDS: mysqld does not notice that nobody waits.
            _end(connection.thread_id())
            raise


def _end(thread: int) -> None:
    """End the statement of a connection: mysqld would copy on, into a directory that is about to be removed."""
    there = "SELECT 1 FROM performance_schema.threads WHERE processlist_id = %s"
    deadline = time.monotonic() + UNDO_SECONDS
    try:
        with Connection(seconds=UNDO_SECONDS) as connection:
            connection.run("KILL %s", (thread,))
            while connection.rows(there, (thread,)) and time.monotonic() < deadline:
                time.sleep(0.1)
    except (pymysql.MySQLError, OSError) as error:
        log.warning("the clone could not be ended: %s", error)


def _send(store: Store, key: str, scratch: backup_mysqld.Scratch, size: int) -> Stored:
    """Pack the data directory, which has `size` bytes, and send it."""
    tar = ["tar", "--create", "--file=-", f"--directory={scratch.data}", "."]
    with (
        subprocess.Popen(tar, stdout=subprocess.PIPE) as packing,
        subprocess.Popen(
            ["zstd", "--quiet", "-3", "--stdout"], stdin=packing.stdout, stdout=subprocess.PIPE
        ) as squeezing,
    ):
        assert packing.stdout is not None and squeezing.stdout is not None  # noqa: S101, PT018  both are pipes
        packing.stdout.close()

        def complete() -> None:
            codes = packing.wait(), squeezing.wait()
            if any(codes):
                raise BackupError(f"tar and zstd ended with {codes}: {key} was not sent")

        return store.upload(key, squeezing.stdout, complete, size)
