"""Makes MySQL follow the group as a read replica (unit tripod-replica.service).

Once a second it observes the local mysqld and, when something is amiss, the group's members; decides
(replica_decision, a pure function); and acts. Which member is the source is MySQL's own business (managed source
failover). Why it acts, or waits, is in the journal and in /run/tripod-replica/state.json, which `tripod status` shows.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from .database import Database, Facts
from .database_stop import MARKER as STOPPING
from .group_peers import ask_peers
from .gtid import GtidSet
from .local_mysqld import INTERVAL, LocalError, LocalMysqld, backoff, message, serve, write
from .replica_actions import carry_out
from .replica_decision import Action, Kind, Observation, decide
from .replica_state import observe_replica

STATE = Path("/run/tripod-replica/state.json")

# How often (seconds) one that follows well is compared with the group.
COMPARE_SECONDS = 10.0

log = logging.getLogger("tripod-replica")


class Replica:
    """The daemon's memory between two looks."""

    def __init__(self, facts: Callable[[], Database]) -> None:
        self._facts = facts
        self._mysqld = LocalMysqld(log)
        self._settled = GtidSet()
        self._compared = float("-inf")
        self._connecting_since: float | None = None
        self._refused = ""
        self._last = ""
        self._failures = 0

    def step(self) -> float:
        """Observe, decide, act; seconds until the next look."""
        database = self._facts()
        seen = self._observe(database)
        action = decide(seen)
        self._tell(action)
        try:
            self._act(action, database)
        except LocalError as error:
            self._failures += 1
            log.warning("%s failed: %s", action.kind.value, message(error))
            return backoff(self._failures)
        if action.kind is Kind.STAY:
            self._failures = 0
        elif action.kind is Kind.FOLLOW:
            # An applier that stops at once, again and again, must not be started every second.
            self._failures += 1
            return backoff(self._failures)
        return INTERVAL

    def _observe(self, database: Database) -> Observation:
        local = self._mysqld.look(
            lambda connection: observe_replica(connection, database), lambda seen: not seen.running
        )
        settled = self._settled
        now = time.monotonic()
        looking = local is not None and local.running and not local.following
        self._connecting_since = (self._connecting_since or now) if looking else None
        peers = None
        if local and (not local.following or now - self._compared >= COMPARE_SECONDS):
            peers, self._compared = ask_peers(database), now
        self._settled = local.holds if local else GtidSet()
        waited = now - self._connecting_since if self._connecting_since else 0.0
        return Observation(local, peers, settled, waited, STOPPING.exists())

    def _act(self, action: Action, database: Database) -> None:
        if action.kind is Kind.STAY:
            self._mysqld.read_renewed_certificates()
        elif action.kind is Kind.REFUSE and action.reason == self._refused:
            return
        elif action.kind is not Kind.WAIT:
            carry_out(action, database)
            self._refused = action.reason if action.kind is Kind.REFUSE else ""

    def _tell(self, action: Action) -> None:
        said = f"{action.kind.value}: {action.reason}"
        if said == self._last:
            return
        log.log(logging.WARNING if action.kind is Kind.REFUSE else logging.INFO, "%s", said)
        self._last = said
        at = datetime.now(UTC).isoformat(timespec="seconds")
        write(STATE, {"action": action.kind.value, "reason": action.reason, "at": at})


def main() -> int:
    """The daemon."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    serve(Replica(Facts()).step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
