"""The "database" part of `tripod status`."""

from __future__ import annotations

from typing import Any

import pymysql

from .database import PATH, Connection, Database
from .database_state import observe, read_view
from .group_memory import intended, read_state


def database_status() -> dict[str, Any] | None:
    """None on a server without MySQL, else {"role", "member_state", "writable", "gtid_executed", "members", "online",
    "group": what tripod-group does and why, "problems": texts}. Never raises: what is broken is a problem."""
    if not PATH.exists():
        return None
    nothing = {"role": "none", "member_state": "DOWN", "writable": False, "gtid_executed": ""}
    group = read_state()
    said = f"{group['action']}: {group['reason']}" if group else "tripod-group has not run"
    try:
        database = Database.load()
        with Connection() as connection:
            state = observe(connection, database, read_view(), intended(group))
    except (pymysql.MySQLError, OSError, ValueError) as error:
        return {**nothing, "members": 0, "online": 0, "group": said, "problems": [f"MySQL does not answer: {error}"]}
    problems = []
    if state.member_state != "ONLINE":
        problems.append(f"MySQL is {state.member_state} ({said})")
    elif state.online < len(database.members):
        absent = [m.name for m in database.members if state.members.get(m.name) != "ONLINE"]
        problems.append(f"the group misses {', '.join(absent)}")
    if state.is_primary and state.super_read_only:
        problems.append(f"the primary is read-only ({said})")
    role = "primary" if state.is_primary else "replica" if state.member_state == "ONLINE" else "none"
    return {
        "role": role,
        "member_state": state.member_state,
        "writable": state.writable,
        "gtid_executed": str(state.executed),
        "members": len(state.members),
        "online": state.online,
        "group": said,
        "problems": problems,
    }
