"""Asks the other members' role checks for their state, all at once."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

from .database import Database, Member
from .database_state import DatabaseState

# A peer answers within a second even when its mysqld hangs (host.role_check).
TIMEOUT = 2.0


def ask_peers(database: Database) -> dict[str, DatabaseState]:
    """The states of those that answered with a running mysqld, by name."""
    if not database.peers:
        return {}
    with ThreadPoolExecutor(max_workers=len(database.peers)) as pool:
        answers = pool.map(lambda peer: ask(peer, database.role_check_port), database.peers)
        return {state.server: state for state in answers if state}


def ask(peer: Member, port: int) -> DatabaseState | None:
    """One peer's state; None when it does not answer, its mysqld is down, or another server has its address."""
    connection = http.client.HTTPConnection(peer.address, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/state")
        response = connection.getresponse()
        body = response.read()
        state = DatabaseState.from_json(json.loads(body)) if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return state if state and state.server == peer.name else None
