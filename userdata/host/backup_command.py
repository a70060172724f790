"""What is run of backups on a server: nightly, weekly, ship, flush, now, list, verify, drill, restore and its parts.

`python3 -m host.backup_command COMMAND [--job FILE]`. With --job, what it is doing and how it ended are in that JSON
file ({"step", "done", "error", "result"}), for `python -m operations`, which looks at it while the job runs. What it
looks through shows the first 24,000 characters of a file (Systems Manager, GetCommandInvocation,
StandardOutputContent), so no result grows with the database or with what is in the bucket.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql

from . import (
    accounts,
    backup,
    backup_drill,
    backup_mysqld,
    backup_replace,
    backup_restore,
)
from .aws import Client
from .backup_job import Job
from .backup_plan import Target, moment_text
from .backup_store import BackupError, Store, StoreError, bucket_of
from .backup_verify import verify
from .binlog_index import BinlogIndex
from .binlog_ship import LOOK_SECONDS, Shipper
from .database import Connection, Database
from .gtid import GtidSet
from .identity import PATH, Identity

METRICS = Path("/var/lib/prometheus/node-exporter")
VERIFIED = "tripod_last_verified_restore_timestamp_seconds"

# Of the list of backups. One takes less than 200 characters.
LISTED = 100

# A primary without a majority says nothing: what it holds more than the others was acknowledged to nobody.
_PRIMARY = """
SELECT 1 FROM performance_schema.replication_group_members AS me
WHERE me.member_id = @@global.server_uuid AND me.member_role = 'PRIMARY' AND me.member_state = 'ONLINE'
  AND 2 * (SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE')
    > (SELECT COUNT(*) FROM performance_schema.replication_group_members)
"""

Errors = (BackupError, OSError, ValueError, KeyError, pymysql.MySQLError, *StoreError)
log = logging.getLogger("tripod-backup")


def metric(name: str, value: float, directory: Path = METRICS) -> None:
    """Leave a metric for the node exporter, each in a file of its own: several programs write them."""
    if not directory.is_dir():
        return
    # The alerts know all of these from one name of file.
    new = directory / f"tripod-backup-{name}.new"
    new.write_text(f"# TYPE {name} gauge\n{name} {value:.3f}\n")
    new.chmod(0o644)
    new.replace(directory / f"tripod-backup-{name}.prom")


def _make(store: Store, database: Database, job: Job) -> dict[str, Any]:
    made = backup.make(store, database, job.report)
    metric("tripod_last_backup_timestamp_seconds", made.copied / 1e6)
    return {"id": made.id, "server": made.server, "size": made.stored.size, "gtids": str(made.gtids)}


def _nightly(store: Store, database: Database, job: Job) -> dict[str, Any]:
    reason = backup.due(store, database, time.time())
    if reason is None:
        return _make(store, database, job)
    # Every server shows how old the newest backup is, whoever made it.
    newest = backup.find(store, store.timeline())[-1:]
    for one in newest:
        metric("tripod_last_backup_timestamp_seconds", one.copied / 1e6)
    return {"skipped": reason}


def _ship(store: Store, database: Database) -> None:
    shipper = Shipper(store, database.server)
    while True:
        began = time.time()
        try:
            shipper.look()
            metric("tripod_last_binlog_shipped_timestamp_seconds", began)
        except Errors as error:
            log.warning("binary logs are not shipped: %s", error)
        time.sleep(LOOK_SECONDS)


def _list(store: Store) -> dict[str, Any]:
    """The newest LISTED backups, oldest first, and how many there are (`count`)."""
    timeline = store.timeline()
    backups = backup.find(store, timeline)
    index = BinlogIndex(store, timeline, since=math.inf)
    last = max((one.last for one in index.each()), default=None)
    return {
        "timeline": timeline,
        "count": len(backups),
        "backups": [
            {"id": one.id, "server": one.server, "at": moment_text(one.copied), "size": one.stored.size}
            for one in backups[-LISTED:]
        ],
        "logs": index.count,
        "until": moment_text(last) if last else None,
    }


def _restore(store: Store, database: Database, options: argparse.Namespace, job: Job) -> dict[str, Any]:
    if options.name.startswith(backup_mysqld.TEMPORARY):
        raise BackupError(f"{options.name} would be removed by the next backup; choose another name")
    moment = None
    if options.to:
        at = datetime.fromisoformat(options.to)
        if at.tzinfo is None or at.timestamp() > time.time():
            raise BackupError(f"{options.to} has no time zone or is not in the past; write 2026-11-23T10:15:00Z")
        moment = round(at.timestamp() * 1_000_000)
    target = Target(moment, GtidSet.parse(options.to_gtid) if options.to_gtid else None)
    scratch, restored = backup_restore.restore(store, target, options.name, job.report, options.complete_until)
    try:
        with scratch.connect(30) as connection:
            accounts.take_over(connection, database)
        _require_unchanged(scratch.executed(), restored.gtids)
        scratch.stop()
    except BaseException:
        scratch.remove()
        raise
    return {
        "directory": str(scratch.directory),
        "text": restored.text,
        "gtids": str(restored.gtids),
        "seconds": restored.seconds,
        "size": restored.size,
        "last": restored.last.gtid if restored.last else None,
        "last_at": moment_text(restored.last.at) if restored.last else None,
    }


def _require_unchanged(holds: GtidSet, restored: GtidSet) -> None:
    if holds != restored:
        raise BackupError(f"the copy holds {holds} since it has the passwords of today, not {restored}")


def _flush(store: Store, database: Database) -> dict[str, Any]:
    """Ship all that this member has. `complete_until` is set by the primary: every commit until then is shipped."""
    shipper, now = Shipper(store, database.server), round(time.time() * 1_000_000)
    if subprocess.run(["systemctl", "is-active", "--quiet", "mysql.service"], check=False).returncode != 0:
        return {"sent": shipper.look_at_files(), "complete_until": 0}
    with Connection(seconds=30) as connection:
        primary = bool(connection.rows(_PRIMARY))
    sent = shipper.look(at_once=True)
    with Connection(seconds=30) as connection:
        still = bool(connection.rows(_PRIMARY))
    return {"sent": sent, "complete_until": now if primary and still else 0}


def _drill(store: Store, database: Database, job: Job) -> dict[str, Any]:
    """What the evidence says, with the number of `tables` and of their `rows`."""
    done = backup_drill.drill(store, database, job.report)
    metric(VERIFIED, done["ended"])
    # Every table is in the evidence, in the bucket.
    tables = done["tables"].values()
    return {**done, "tables": len(tables), "rows": sum(table["rows"] for table in tables)}


def _weekly(store: Store, database: Database, job: Job) -> dict[str, Any]:
    reason = backup_drill.due(store, database, time.time())
    if reason is None:
        return _drill(store, database, job)
    last = backup_drill.verified(store)
    if last is not None:
        metric(VERIFIED, last)
    return {"skipped": reason}


COMMANDS = (
    *("nightly", "weekly", "ship", "flush", "now", "list", "verify", "drill"),
    *("restore", "install", "discard", "start", "lead"),
)
# These need room for a copy of the database.
COPYING = ("nightly", "weekly", "now", "drill", "restore")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="host.backup_command")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("--job", type=Path)
        if name in ("restore", "install"):
            command.add_argument("--name", required=True)
        if name == "restore":
            command.add_argument("--to")
            command.add_argument("--to-gtid")
            command.add_argument("--complete-until", type=int, default=0)
    return parser


def run(options: argparse.Namespace, store: Store, database: Database, job: Job) -> dict[str, Any]:
    """One command; its result. Raises what `Errors` holds."""
    match options.command:
        case "nightly":
            return _nightly(store, database, job)
        case "now":
            return _make(store, database, job)
        case "list":
            return _list(store)
        case "verify":
            return verify(store, job)
        case "restore":
            return _restore(store, database, options, job)
        case "install":
            return backup_replace.install(store, options.name, database)
        case "discard":
            return backup_replace.discard(database)
        case "flush":
            return _flush(store, database)
        case "drill":
            return _drill(store, database, job)
        case "weekly":
            return _weekly(store, database, job)
        case "lead":
            return backup_replace.lead(store, database)
        case _:
            return backup_replace.start(database)


def _end(*_: object) -> None:
    """SIGTERM: end in order, so that no copy of the database is left behind."""
    # Tidying up is not to be interrupted. A handler, not SIG_IGN: that would pass to the programs it starts.
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise SystemExit


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when it was done, or stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    options = _parser().parse_args(arguments)
    job = Job(options.job)
    signal.signal(signal.SIGTERM, _end)
    try:
        identity, database = Identity.load(Path(PATH)), Database.load()
        retries = {"max_attempts": 5, "mode": "standard"}
        s3 = Client("s3", identity.region, connect_timeout=5, read_timeout=60, retries=retries)
        store = Store(bucket_of(identity), s3)
        if options.command == "ship":
            _ship(store, database)
        if options.command in COPYING:
            backup_mysqld.tidy()
        result = run(options, store, database, job)
    except (*Errors, subprocess.CalledProcessError) as error:
        job.report("failed", done=True, error=str(error) or repr(error))
        return 1
    except SystemExit:
        job.report(
            "failed", done=True, error="it was stopped (SIGTERM): by a person, a reboot or a restore of the stack"
        )
        # The end that was asked for: the unit has not failed.
        return 0
    job.report("done", done=True, result=result)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
