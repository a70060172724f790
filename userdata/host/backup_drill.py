"""The restore drill: the newest backup and its logs are restored, and every table compared with this member's own.

What is compared is the state at one set of GTIDs: this member's tables are read in a snapshot of which the set is
known exactly, and the restore must hold that set, no transaction more or less.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from . import backup, backup_restore
from .backup_mysqld import Report
from .backup_plan import Target
from .backup_store import BackupError, Store
from .binlog_ship import Shipper
from .database import Connection, Database
from .gtid import GtidSet

# One statement may read a whole table.
READ_SECONDS = 6 * 3600.0
# New transactions wait behind the lock for no longer than this.
LOCK_SECONDS = 5
# A statement that has run for this long may run on for longer than that.
LONG_SECONDS = 2
# How long such ones are waited for, and the pause between two looks.
WAIT_SECONDS = 60.0
LOOK_SECONDS = 1.0
# A try does nothing when there is a good drill that is younger than this.
DAY_SECONDS = 24 * 3600.0

_TABLES = """
SELECT table_schema AS `schema`, table_name AS `name` FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND engine = 'InnoDB'
  AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
"""

# Connections of users only, so no applier (MySQL manual, "The threads Table"), and none that sleeps, dumps or clones.
_LONG = """
SELECT processlist_id AS id, processlist_user AS account, processlist_time AS seconds FROM performance_schema.threads
WHERE name = 'thread/sql/one_connection' AND processlist_command IN ('Query', 'Execute')
  AND processlist_id <> CONNECTION_ID() AND processlist_time >= %s
ORDER BY processlist_time DESC LIMIT 1
"""


@dataclass(frozen=True)
class Table:
    """What a table holds: how many rows, and MySQL's CHECKSUM TABLE over them."""

    rows: int
    checksum: int


Tables = Mapping[str, Table]


def read(connection: Connection) -> dict[str, Table]:
    """Every table of the site's own schemas, by "schema.table", as this connection's transaction sees it."""
    found = {}
    for row in connection.rows(_TABLES):
        table = f"`{row['schema']}`.`{row['name']}`".replace("%", "%%")
        count = connection.row(f"SELECT COUNT(*) AS number FROM {table}")  # noqa: S608  a name of MySQL's own
        checksum = connection.row(f"CHECKSUM TABLE {table} EXTENDED")["checksum"]
        if checksum is None:
            raise BackupError(f"{table} went away while it was read; repeat the drill")
        found[f"{row['schema']}.{row['name']}"] = Table(int(count["number"]), int(checksum))
    return found


def snapshot() -> tuple[GtidSet, dict[str, Table]]:
    """This member's tables, and the exact set of transactions that made them.

    FLUSH TABLES WITH READ LOCK waits for commits under way and holds new ones, so between it and UNLOCK the snapshot
    and gtid_executed are the same state (as mysqldump --single-transaction --source-data does it).
    """
    with Connection(seconds=READ_SECONDS) as connection:
        _await_long_statements(connection)
        connection.run(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
        connection.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.run("FLUSH TABLES WITH READ LOCK")
        connection.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        executed = GtidSet.parse(connection.row("SELECT @@global.gtid_executed AS executed")["executed"])
        connection.run("UNLOCK TABLES")
        return executed, read(connection)


def _await_long_statements(connection: Connection) -> None:
    """Return when no statement has run for LONG_SECONDS; BackupError when one still does after WAIT_SECONDS.

    Behind it the lock would end by LOCK_SECONDS, but not what it did: whoever opens a table that it flushed, the
    applier too, waits until that statement ends ("Waiting for table flush"). Percona XtraBackup waits in the same way
    (its manual, "FLUSH TABLES WITH READ LOCK option": the effect, --ftwrl-wait-threshold, --ftwrl-wait-timeout).
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while one := connection.row(_LONG, (LONG_SECONDS,)):
        if time.monotonic() >= deadline:
            # Not the statement itself: what is in it may be personal, and this goes into the bucket.
            raise BackupError(
                f"connection {one['id']} of the database account {one['account']} runs one statement for "
                f"{one['seconds']} s: the drill's lock would wait behind it, and others behind the lock. The drill's "
                f"timer tries again; or repeat the drill when that statement has ended"
            )
        time.sleep(LOOK_SECONDS)


def differences(source: Tables, copy: Tables) -> list[str]:
    """What is not the same, one line for each table."""
    found = [f"{name}: the copy lacks it" for name in sorted(source.keys() - copy.keys())]
    found += [f"{name}: only the copy has it" for name in sorted(copy.keys() - source.keys())]
    for name in sorted(source.keys() & copy.keys()):
        if source[name] != copy[name]:
            one, other = source[name], copy[name]
            found.append(f"{name}: {one.rows} rows, checksum {one.checksum}; copy {other.rows}, {other.checksum}")
    return found


def verified(store: Store) -> float | None:
    """When the newest good drill ended (seconds since 1970); None when there was none."""
    keys = sorted(store.keys("drills/"), key=lambda key: key.rpartition("/")[2], reverse=True)
    for key in keys:
        found = store.read(key)
        if found["error"] is None:
            return float(found["ended"])
    return None


def due(store: Store, database: Database, now: float) -> str | None:
    """Why this server makes no drill now; None when it has the turn, which is then claimed."""
    last = verified(store)
    if last is not None and now - last < DAY_SECONDS:
        return "there is a good restore drill of today already"
    turn = backup.whose_turn()
    if turn != database.server:
        return f"it is the turn of {turn or 'nobody: no member is ONLINE'}"
    hour = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H")
    if not store.create(f"data/claims/drill-{hour}.json", {"server": database.server, "at": now}):
        return "another server claimed this hour's drill"
    return None


def drill(store: Store, database: Database, report: Report) -> dict[str, Any]:
    """Make one now; its evidence, which is in the bucket then, also when the restore was bad (BackupError)."""
    began = time.time()
    evidence: dict[str, Any] = {"server": database.server, "began": began, "error": None}
    try:
        _compare(store, database, report, evidence)
    except BackupError as error:
        evidence["error"] = str(error)
        raise
    finally:
        evidence["ended"] = time.time()
        if evidence["error"] is not None or "tables" in evidence:
            moment = datetime.fromtimestamp(began, UTC).strftime("%Y%m%dT%H%M%SZ")
            store.write(f"drills/{database.server}/{moment}.json", evidence)
    return evidence


def _compare(store: Store, database: Database, report: Report, evidence: dict[str, Any]) -> None:
    report("reading this member's tables")
    gtids, source = snapshot()
    evidence["gtids"] = str(gtids)
    report("shipping the newest binary logs")
    Shipper(store, database.server).look(at_once=True)
    scratch, restored = backup_restore.restore(store, Target(exactly=gtids), f"drill-{uuid.uuid4().hex[:8]}", report)
    try:
        evidence |= {"backup": restored.backup, "bytes": restored.size, "restore_seconds": restored.seconds}
        report("comparing every table")
        if restored.gtids != gtids:
            raise BackupError(f"the copy holds {restored.gtids}, this member held {gtids}")
        with scratch.connect(READ_SECONDS) as connection:
            copy = read(connection)
        scratch.stop()
    finally:
        scratch.remove()
    different = differences(source, copy)
    if different:
        raise BackupError(f"restored from {restored.backup}, but not the same: {'; '.join(different)}")
    evidence["tables"] = {name: asdict(table) for name, table in source.items()}
