"""Puts restored data in the place of a member's own: part of the restore of a whole stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import backup_mysqld, backup_timeline
from .backup_restore import RECORD
from .backup_store import BackupError, Store
from .database import Database
from .database_state import VIEW_PATH
from .group import FORCE

# The bind of /var/lib/mysql, on the same mount as scratch directories: a rename, not a copy.
DATA = Path("/var/lib/tripod/mysql")


def _units(database: Database) -> list[str]:
    """What starts this server's mysqld, has it follow others, or reads its files."""
    if database.read_replica:
        return ["tripod-replica.service"]
    return ["tripod-group.service", "tripod-binlog.service", "tripod-backup.timer", "tripod-drill.timer"]


def stop(database: Database) -> None:
    """Stop this server's mysqld, and what would start it or read its files.

    Also what copies it at this moment: a copy of the old history is no backup of the new one.
    """
    copying = ["tripod-backup.service", "tripod-drill.service"] if not database.read_replica else []
    jobs = ["tripod-job-now-*.service", "tripod-job-drill-*.service"]
    subprocess.run(["systemctl", "stop", *_units(database), *copying, *jobs, "mysql.service"], check=True)


def discard(database: Database) -> dict[str, Any]:
    """Stop this member or read replica and put its data aside: it will be cloned from what is restored."""
    stop(database)
    aside = backup_mysqld.DIRECTORY / f"before-restore-{int(time.time())}"
    aside.mkdir(mode=0o750, parents=True)
    for entry in DATA.iterdir():
        entry.rename(aside / entry.name)
    VIEW_PATH.unlink(missing_ok=True)
    # It was given for the data that have just been put aside.
    FORCE.unlink(missing_ok=True)
    return {"server": database.server, "aside": str(aside)}


def install(store: Store, name: str, database: Database) -> dict[str, Any]:
    """Put a restored scratch directory in the place of this member's data, and begin another timeline."""
    source = backup_mysqld.DIRECTORY / name / "data"
    if not (source / "mysql.ibd").exists():
        raise BackupError(f"{source} holds no restored database")
    record = json.loads((source.parent / RECORD).read_text())
    # First the old data go, here as on the others: what a member ships goes to the newest timeline, and a restore that
    # is repeated lets all ship what they have. One that breaks from here on is planned from the timeline before.
    done = discard(database)
    timeline = backup_timeline.begin(store, database.server, record)
    for entry in source.iterdir():
        entry.rename(DATA / entry.name)
    shutil.rmtree(source.parent)
    return {**done, "timeline": timeline}


def lead(store: Store, database: Database) -> dict[str, Any]:
    """Start this member again; it begins the group with what was restored."""
    done = start(database)
    backup_timeline.mark_led(store, database.server)
    # The operator has confirmed that this server's data are the ones to go on with.
    subprocess.run([sys.executable, "-P", "-m", "host.group", "lead", "--accept-loss"], check=True)
    return done


def start(database: Database) -> dict[str, Any]:
    """Start this member or read replica again."""
    subprocess.run(["systemctl", "start", "mysql.service", *_units(database)], check=True)
    return {"started": True}
