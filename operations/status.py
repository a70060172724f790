"""How a stack is now: as a table for people, as JSON for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from operations.fleet import Fleet
from operations.rollout import short
from operations.survey import Observation, group_problems
from topology.names import Role

HEADERS = ("server", "roles", "zone", "address", "state", "bundle", "database")
WHOLE = ("server", "zone", "state", "bundle")


def problems(fleet: Fleet, observations: Mapping[str, Observation], expected: Mapping[str, str]) -> tuple[str, ...]:
    """Everything that keeps the stack from being healthy and in sync, each naming its server."""
    found = [f"{name}: {problem}" for name, seen in observations.items() for problem in seen.problems]
    for name, seen in observations.items():
        if _sync(seen, expected.get(name)) is False:
            applied = short(seen.status.digest if seen.status else None)
            found.append(f"{name}: has applied {applied}, not {short(expected[name])}; run 'apply'")
    return (*found, *group_problems(fleet, observations))


def rows(fleet: Fleet, observations: Mapping[str, Observation], expected: Mapping[str, str]) -> list[list[str]]:
    """One row a server, as in HEADERS."""
    return [_row(observations[server.name], expected.get(server.name)) for server in fleet.servers]


def document(fleet: Fleet, observations: Mapping[str, Observation], expected: Mapping[str, str]) -> dict[str, Any]:
    """`{"stack", "healthy", "problems", "servers": [{"name", "roles", ..., "database"}]}`; `in_sync` null: unknown."""
    found = problems(fleet, observations, expected)
    return {
        "stack": fleet.stack,
        "healthy": not found,
        "problems": list(found),
        "servers": [_entry(observations[server.name], expected.get(server.name)) for server in fleet.servers],
    }


def _entry(seen: Observation, expected: str | None) -> dict[str, Any]:
    server, status = seen.server, seen.status
    return {
        "name": server.name,
        "instance_id": server.instance_id,
        "roles": [role.value for role in server.roles],
        "zone": server.zone,
        "address": server.address,
        "public_address": server.public_address,
        "state": server.state,
        "healthy": status.healthy if status else False,
        "digest": status.digest if status else None,
        "expected_digest": expected,
        "in_sync": _sync(seen, expected),
        "applied_at": status.applied_at if status else None,
        "database": dataclasses.asdict(status.database) if status and status.database else None,
        "problems": list(seen.problems),
    }


def _sync(seen: Observation, expected: str | None) -> bool | None:
    return None if seen.status is None or expected is None else seen.status.digest == expected


def _row(seen: Observation, expected: str | None) -> list[str]:
    server, status = seen.server, seen.status
    state = server.state if server.state != "running" else "healthy" if status and status.healthy else "not healthy"
    digest = "?" if status is None else short(status.digest).removeprefix("sha256:")
    sync = {True: "in sync", False: "not in sync", None: "?"}[_sync(seen, expected)]
    address = f"{server.address}, {server.public_address}" if server.public_address else server.address
    return [
        server.name,
        ", ".join(role.value for role in server.roles),
        server.zone,
        address,
        state,
        f"{digest} ({sync})",
        _database(seen),
    ]


def _database(seen: Observation) -> str:
    if not (seen.server.has(Role.DATABASE) or seen.server.has(Role.READ_REPLICA)):
        return "-"
    database = seen.status.database if seen.status else None
    if database is None:
        return "?"
    writable = ", writable" if database.writable else ""
    return f"{database.role}, {database.member_state}{writable}"
