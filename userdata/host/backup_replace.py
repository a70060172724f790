"""Puts restored data in the place of a member's own: part of the restore of a whole stack."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import backup_mysqld
from .backup_store import BackupError, Store
from .database import Database
from .database_state import VIEW_PATH
from .group import FORCE

# The bind of /var/lib/mysql, on the same mount as scratch directories: a rename, not a copy.
DATA = Path("/var/lib/tripod/mysql")


def stop() -> None:
    """Stop this member, and what would start it or read its files."""
    units = ["tripod-backup.timer", "tripod-drill.timer", "tripod-binlog.service", "tripod-group.service"]
    subprocess.run(["systemctl", "stop", *units, "mysql.service"], check=True)


def discard(database: Database) -> dict[str, Any]:
    """Stop this member and put its data aside: it will be cloned from the restored one."""
    stop()
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
    done = discard(database)
    timeline = store.begin_timeline({"server": database.server, "restored": name, "at": time.time()})
    for entry in source.iterdir():
        entry.rename(DATA / entry.name)
    shutil.rmtree(source.parent)
    return {**done, "timeline": timeline}


def start(*, lead: bool) -> dict[str, Any]:
    """Start this member again; with `lead` it begins the group."""
    units = ["tripod-group.service", "tripod-binlog.service", "tripod-backup.timer", "tripod-drill.timer"]
    subprocess.run(["systemctl", "start", "mysql.service", *units], check=True)
    if lead:
        # The operator has confirmed that this server's data are the ones to go on with.
        subprocess.run([sys.executable, "-P", "-m", "host.group", "lead", "--accept-loss"], check=True)
    return {"started": True}
