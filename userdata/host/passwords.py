"""Changed passwords of the MySQL accounts, brought to MySQL before any server uses them (`tripod passwords`).

Only the primary changes accounts, with the files of its own that tripod-group watches, and a roll-out takes it last.
The applications, exporters and members before it would already show a password that MySQL does not know. So a roll-out
begins here, on the primary, with those files alone. MySQL then takes both passwords (ALTER USER ... RETAIN CURRENT
PASSWORD; manual, "Dual Password Support"), on every member, in whatever order the servers follow. docs/adr/0016.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql

from . import accounts, audit, fetch
from .apply import STAGING
from .database import PATH, Database
from .errors import StepError
from .identity import Identity
from .local_mysqld import message
from .lock import locked
from .manifest import parse
from .swap import Swap, applied, compare
from .system import System

# tripod-group looks every second.
ACCEPTED_SECONDS = 30.0

Login = Callable[[Database, str, str], bool]


def renew(system: System, identity: Identity, ssm: Any, login: Login = accounts.can_log_in) -> str:
    """Fetch the accounts' passwords, and wait until MySQL takes them; what was done, in words.

    Raises StepError, also when this server does not take writes: nobody else's accounts change then.
    """
    with locked(system):
        text = applied(system)
        if text is None or Swap(system).interrupted:
            return "no bundle is whole here, so the passwords come with the next one"
        database = Database.load(system.path(str(PATH)))
        changed = _fetch(system, identity, ssm, text, database)
    trouble = ""

    def accepted() -> bool:
        nonlocal trouble
        for account in accounts.ACCOUNTS:
            password = system.path(f"{database.secrets}/{account.name}").read_text().rstrip("\n")
            try:
                if login(database, account.name, password):
                    continue
                trouble = f"MySQL does not take the password of {account.name}"
            except (pymysql.MySQLError, OSError) as error:
                trouble = message(error)
            return False
        return True

    if not system.wait(accepted, seconds=ACCEPTED_SECONDS):
        raise StepError("passwords", f"{trouble} after {ACCEPTED_SECONDS:g} s", "see `journalctl -u tripod-group`")
    return f"MySQL takes the new passwords of {', '.join(changed)}" if changed else "no password has changed"


def _fetch(system: System, identity: Identity, ssm: Any, text: str, database: Database) -> list[str]:
    """Put what differs in place, as an apply would; the names of the accounts."""
    manifest = parse(text, stack=identity.stack, server=identity.server, subject="the applied manifest")
    folder = f"{database.secrets}/"
    own = {path: entry for path, entry in manifest.secrets.items() if path.startswith(folder)}
    narrow = replace(manifest, files={}, secrets=own)
    parent = system.path(STAGING)
    parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="tripod-passwords-", dir=parent))
    try:
        fetch.stage_secrets(ssm, narrow, staging)
        plan = compare(narrow, None, staging, system)
        if plan.changed:
            swap = Swap(system)
            swap.begin(plan, narrow, staging)
            swap.commit(manifest)
            names = {"before": manifest.digest, "digest": manifest.digest}
            audit.write(system, identity.server, by="command", paths=plan.changed, **names)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [path.removeprefix(folder) for path in plan.changed]
