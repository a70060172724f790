"""What is run of backups on a server: nightly, ship, now, list, verify, restore, install, discard.

`python3 -m host.backup_command COMMAND [--job FILE]`. With --job, what it is doing and how it ended are in that JSON
file ({"step", "done", "error", "result"}), for `python -m operations`, which looks at it while the job runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pymysql
from botocore.config import Config

from . import backup, backup_mysqld, backup_restore, binlog_ship
from .backup_plan import Target, moment_text
from .backup_store import BackupError, Store, StoreError, bucket_of
from .binlog_ship import LOOK_SECONDS, Shipper
from .database import Database
from .database_state import VIEW_PATH
from .gtid import GtidSet
from .identity import PATH, Identity

METRICS = Path("/var/lib/prometheus/node-exporter")
# The bind of /var/lib/mysql, on the same mount as scratch directories: a rename, not a copy.
DATA = Path("/var/lib/tripod/mysql")

Errors = (BackupError, OSError, ValueError, KeyError, pymysql.MySQLError, *StoreError)
log = logging.getLogger("tripod-backup")


class Job:
    """Tells the journal and, where there is one, the job's file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def report(self, step: str, **more: Any) -> None:
        """One step, or the end."""
        log.info("%s", more.get("error") or step)
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps({"step": step, "done": False, "error": None, "result": None, **more}))
            new.replace(self._file)


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
    timeline = store.timeline()
    found = [
        {"id": one.id, "server": one.server, "at": moment_text(one.copied), "size": one.stored.size}
        for one in backup.find(store, timeline)
    ]
    logs, _ = binlog_ship.find(store, timeline)
    last = max((one.last for one in logs), default=None)
    return {"timeline": timeline, "backups": found, "logs": len(logs), "until": moment_text(last) if last else None}


def verify(store: Store, job: Job) -> dict[str, Any]:
    """Read every object of the timeline and compare digests; then look for gaps. BackupError naming all faults."""
    timeline = store.timeline()
    backups = backup.find(store, timeline)
    logs, present = binlog_ship.find(store, timeline)
    faults = []
    objects = [one.stored for one in (*backups, *logs)]
    for number, stored in enumerate(objects):
        job.report(f"reading {number + 1} of {len(objects)}: {stored.key}")
        try:
            for _ in store.download(stored):
                pass
        except BackupError as error:
            faults.append(str(error))
    try:
        backup_restore.plan(backups, logs, present, Target())
    except BackupError as error:
        faults.append(str(error))
    if faults:
        raise BackupError("; ".join(faults))
    return {"objects": len(objects), "bytes": sum(stored.size for stored in objects)}


def _restore(store: Store, options: argparse.Namespace, database: Database, job: Job) -> dict[str, Any]:
    moment = None
    if options.to:
        at = datetime.fromisoformat(options.to)
        if at.tzinfo is None or at.timestamp() > time.time():
            raise BackupError(f"{options.to} has no time zone or is not in the past; write 2026-11-23T10:15:00Z")
        moment = round(at.timestamp() * 1_000_000)
    target = Target(moment, GtidSet.parse(options.to_gtid) if options.to_gtid else None)
    try:
        job.report("shipping the newest binary logs")
        Shipper(store, database.server).look(at_once=True)
    except (OSError, pymysql.MySQLError) as error:
        # The database may be what was lost: then what the bucket holds must do.
        job.report(f"this server's own logs cannot be shipped ({error})")
    scratch, restored = backup_restore.restore(store, target, options.name, job.report)
    scratch.stop()
    return {
        "directory": str(scratch.directory),
        "text": restored.text,
        "gtids": str(restored.gtids),
        "seconds": restored.seconds,
        "size": restored.size,
        "last": restored.last.gtid if restored.last else None,
        "last_at": moment_text(restored.last.at) if restored.last else None,
    }


def _stop_database() -> None:
    units = ["tripod-backup.timer", "tripod-binlog.service", "tripod-group.service", "mysql.service"]
    subprocess.run(["systemctl", "stop", *units], check=True)


def _discard(database: Database) -> dict[str, Any]:
    """Stop this member and put its data aside: it will be cloned from the restored one."""
    _stop_database()
    aside = backup_mysqld.DIRECTORY / f"before-restore-{int(time.time())}"
    aside.mkdir(mode=0o750, parents=True)
    for entry in DATA.iterdir():
        entry.rename(aside / entry.name)
    VIEW_PATH.unlink(missing_ok=True)
    return {"server": database.server, "aside": str(aside)}


def _install(store: Store, options: argparse.Namespace, database: Database) -> dict[str, Any]:
    """Put a restored scratch directory in the place of this member's data, and begin another timeline."""
    source = backup_mysqld.DIRECTORY / options.name / "data"
    if not (source / "mysql.ibd").exists():
        raise BackupError(f"{source} holds no restored database")
    done = _discard(database)
    timeline = store.begin_timeline({"server": database.server, "restored": options.name, "at": time.time()})
    for entry in source.iterdir():
        entry.rename(DATA / entry.name)
    shutil.rmtree(source.parent)
    return {**done, "timeline": timeline}


def _start(*, lead: bool) -> dict[str, Any]:
    units = ["mysql.service", "tripod-group.service", "tripod-binlog.service", "tripod-backup.timer"]
    subprocess.run(["systemctl", "start", *units], check=True)
    if lead:
        # The operator has confirmed that this server's data are the ones to go on with.
        subprocess.run([sys.executable, "-P", "-m", "host.group", "lead", "--accept-loss"], check=True)
    return {"started": True}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="host.backup_command")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("nightly", "ship", "now", "list", "verify", "restore", "install", "discard", "start", "lead"):
        command = commands.add_parser(name)
        command.add_argument("--job", type=Path)
        if name in ("restore", "install"):
            command.add_argument("--name", required=True)
        if name == "restore":
            command.add_argument("--to")
            command.add_argument("--to-gtid")
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
            return _restore(store, options, database, job)
        case "install":
            return _install(store, options, database)
        case "discard":
            return _discard(database)
        case other:
            return _start(lead=other == "lead")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when it was done."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    options = _parser().parse_args(arguments)
    job = Job(options.job)
    try:
        identity, database = Identity.load(Path(PATH)), Database.load()
        config = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 5, "mode": "standard"})
        store = Store(bucket_of(identity), boto3.client("s3", region_name=identity.region, config=config))
        if options.command == "ship":
            _ship(store, database)
        result = run(options, store, database, job)
    except (*Errors, subprocess.CalledProcessError) as error:
        job.report("failed", done=True, error=str(error) or repr(error))
        return 1
    job.report("done", done=True, result=result)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
