"""How this server is, for people and for `operations`: units, applied bundle, database, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from . import state, units
from .database_state import DatabaseState
from .floating_address_facts import FACTS
from .floating_address_status import floating_address_status
from .group_memory import STATE as GROUP_STATE
from .group_memory import read_state
from .identity import Identity
from .lock import busy
from .manifest import parse
from .replica import STATE as REPLICA_STATE
from .replica_state import ReplicaState
from .swap import Swap, applied
from .system import System

HOST_FACTS = "/etc/tripod/host.json"

# Everything asked here answers from memory; a second is long.
HTTP_SECONDS = 3.0

ROLE_CHECK = 3380
HAPROXY_METRICS = 8404

Get = Callable[[str], tuple[int, str]]


def get(url: str) -> tuple[int, str]:
    """Status code and body of a GET; (0, reason) when there is no answer."""
    try:
        # Neighbours on private addresses are never reached through a proxy of the environment.
        with build_opener(ProxyHandler({})).open(url, timeout=HTTP_SECONDS) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (URLError, OSError) as error:
        return 0, str(getattr(error, "reason", error))


def status(system: System, identity: Identity, get: Get = get) -> dict[str, Any]:
    """The object that `tripod status --json` prints; "problems" is empty exactly when "healthy" is true."""
    last = state.recall(system)
    problems: list[str] = []
    if last["error"]:
        problems.append(f"the last apply failed: {last['error']}")
    if busy(system):
        problems.append("an apply is running")
    elif Swap(system).interrupted:
        problems.append("an apply was cut off: run `tripod apply`")
    text = applied(system)
    if text is None:
        problems.append("no bundle was applied yet")
        names: list[str] = []
    else:
        names = [unit.name for unit in parse(text, stack=identity.stack, server=identity.server).units]
    states = units.show(system, names)
    problems += [f"{name} is {s.active} ({s.sub})" for name, s in states.items() if not s.running]
    facts = _facts(system)
    database = None
    if facts:
        database = _database(system, facts, get, problems)
        _ways_in(facts, get, problems)
    address = floating_address_status(system.path(str(FACTS)), system.root)
    problems += address["problems"] if address else []
    return {
        "server": identity.server,
        "digest": last["digest"],
        "applied_at": last["applied_at"],
        "error": last["error"],
        "units": {name: s.active for name, s in states.items()},
        "database": database,
        "floating_address": address,
        "healthy": not problems,
        "problems": problems,
    }


def _facts(system: System) -> dict[str, Any] | None:
    file = system.path(HOST_FACTS)
    if not file.exists():
        return None
    value: dict[str, Any] = json.loads(file.read_text())
    return value


def _database(system: System, facts: Mapping[str, Any], get: Get, problems: list[str]) -> dict[str, Any] | None:
    if not {"database", "read_replica"} & set(facts["roles"]):
        return None
    code, body = get(f"http://{facts['address']}:{ROLE_CHECK}/state")
    if code == 0:
        problems.append(f"the role check does not answer ({body.strip()})")
        return None
    if code != 200:
        problems.append(f"the role check knows no state: {_reason(body)}")
        return None
    if "read_replica" in facts["roles"]:
        return _read_replica(system, facts, get, body, problems)
    try:
        found = DatabaseState.from_json(json.loads(body))
    except ValueError as error:
        problems.append(f"the role check answers nonsense ({error})")
        return None
    if found.member_state != "ONLINE":
        group = read_state(system.path(str(GROUP_STATE)))
        why = f"{group['action']}: {group['reason']}" if group else "tripod-group has not run"
        problems.append(f"the database is {found.member_state} in its group ({why})")
    return {
        "role": _role(found),
        "member_state": found.member_state,
        "writable": found.writable,
        "gtid_executed": str(found.executed),
        "members": len(found.members),
        "online": found.online,
    }


def _read_replica(
    system: System, facts: Mapping[str, Any], get: Get, body: str, problems: list[str]
) -> dict[str, Any] | None:
    try:
        found = ReplicaState.from_json(json.loads(body))
    except ValueError as error:
        problems.append(f"the role check answers nonsense ({error})")
        return None
    code, answer = get(f"http://{facts['address']}:{ROLE_CHECK}/reader")
    if code != 200 or not found.following:
        said = read_state(system.path(str(REPLICA_STATE)))
        why = f"{said['action']}: {said['reason']}" if said else "tripod-replica has not run"
        problems.append(f"the read replica is not in service ({_reason(answer)}; {why})")
    return {
        "role": "read replica",
        "member_state": "FOLLOWING" if found.following else found.receiver if found.running else "STOPPED",
        "writable": not found.super_read_only,
        "gtid_executed": str(found.executed),
        "members": 0,
        "online": 0,
    }


def _role(found: DatabaseState) -> str:
    if found.member_state not in ("ONLINE", "RECOVERING"):
        return "none"
    return "primary" if found.is_primary else "replica"


def _reason(body: str) -> str:
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body.split())[:200]


def _ways_in(facts: Mapping[str, Any], get: Get, problems: list[str]) -> None:
    application = facts.get("application")
    if application:
        code, body = get(f"http://{facts['address']}:{application['port']}{application['health']}")
        if code != 200:
            problems.append(f"the application answers {code or 'nothing'}: {body.strip()[:200]}")
    if {"app", "load_balancer"} & set(facts["roles"]):
        code, body = get(f"http://{facts['address']}:{HAPROXY_METRICS}/healthz")
        if code != 200:
            problems.append(f"HAProxy's health is {code or 'no answer'}: {' '.join(body.split())[:200]}")


def text(value: Mapping[str, Any]) -> str:
    """The status for people."""
    lines = [f"{value['server']}: {'healthy' if value['healthy'] else 'NOT healthy'}, bundle {value['digest']}"]
    lines += [f"  {problem}" for problem in value["problems"]]
    if value["database"]:
        database = value["database"]
        lines.append(f"  database: {database['role']}, {database['member_state']}")
    return "\n".join(lines)
