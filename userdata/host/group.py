"""Brings MySQL into its group, or leads a new one (unit tripod-group.service).

Once a second it observes the local mysqld, its peers and, when there is no group, the parameter store; decides
(group_decision, a pure function that explains why two members never lead at once); and acts. Why it acts, or waits,
is in the journal and in /run/tripod-group/state.json, which `tripod status` shows. To keep a member out of the group
for maintenance, stop this unit first. `python3 -m host.group lead --accept-loss` lets this server lead with what it
has, when the others are lost for good.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import accounts
from .database import Connection, Database, Facts
from .database_state import VIEW_PATH, DatabaseState, View, observe, read_view
from .database_stop import MARKER as STOPPING
from .group_actions import carry_out
from .group_decision import Action, Kind, Observation, Registry, decide
from .group_memory import STATE, intended, read_state
from .group_peers import ask_peers
from .group_registry import ParameterStore, RegistryError
from .local_mysqld import INTERVAL, LocalError, LocalMysqld, backoff, changed, message, serve, write
from .system import run

# While something is under way the next step follows at once.
EAGER = 0.1
# Passwords and certificates are compared with the files this often even when no file has changed.
RECONCILE_SECONDS = 300.0

# Steps that start Group Replication.
STARTS = (Kind.BOOTSTRAP, Kind.JOIN)

FORCE = Path("/run/tripod-group/lead")
FORCE_SECONDS = 600.0
UNIT = "tripod-group.service"

log = logging.getLogger("tripod-group")


class Group:
    """The daemon's memory between two looks."""

    def __init__(self, facts: Callable[[], Database]) -> None:
        self._facts = facts
        self._view = read_view()
        before = read_state(STATE)
        self._fenced, self._intended = bool(before.get("fenced")), intended(before)
        self._beginning = False
        self._mysqld = LocalMysqld(log)
        self._store: ParameterStore | None = None
        self._no_group_since: float | None = None
        self._last = ""
        self._failures = 0
        self._failed_starts = 0
        self._reconciled: tuple[object, ...] = ()
        self._reconciled_at = float("-inf")
        self._completed = False
        self._slow_log: Connection | None = None

    def step(self) -> float:
        """Observe, decide, act; seconds until the next look."""
        database = self._facts()
        seen = self._observe(database)
        action = self._decide(database, seen)
        self._tell(action)
        try:
            self._act(action, database, seen)
        except (*LocalError, *RegistryError) as error:
            self._failures += 1
            self._failed_starts += action.kind in STARTS
            log.warning("%s failed: %s", action.kind.value, message(error))
            return backoff(self._failures)
        if action.kind is Kind.RESTART or action.kind in STARTS:
            self._failed_starts = 0
        if action.kind not in (Kind.WAIT, Kind.RESTART):
            self._failures = 0
        return INTERVAL if action.kind in (Kind.STAY, Kind.WAIT, Kind.REFUSE) else EAGER

    def _observe(self, database: Database) -> Observation:
        local = self._local(database)
        in_group = local is not None and local.member_state in ("ONLINE", "RECOVERING")
        # A healthy member need not know what its peers say.
        alone = local is None or not in_group or local.online < database.majority
        seen = Observation(
            me=database.server,
            configured=tuple(member.name for member in database.members),
            preferred=database.preferred_primary,
            local=local,
            peers=ask_peers(database) if alone and local else {},
            fenced=self._fenced,
            forced=_forced(),
            stopping=STOPPING.exists(),
            failed_starts=self._failed_starts,
        )
        answered = len(seen.peers) + 1
        if local is None or in_group or answered < seen.majority or any(p.quorate for p in seen.peers.values()):
            self._no_group_since = None
            return seen
        self._no_group_since = self._no_group_since or time.monotonic()
        return replace(seen, waited=time.monotonic() - self._no_group_since)

    def _local(self, database: Database) -> DatabaseState | None:
        local = self._mysqld.look(
            lambda connection: observe(connection, database, self._view, self._intended),
            lambda seen: seen.member_state == "OFFLINE",
        )
        if local is None:
            return None
        if local.member_state == "ONLINE" and self._beginning:
            self._intended, self._beginning = local.view.fixed, False
            local = replace(local, intended=self._intended)
        # A first view is not to be remembered (group_decision, rule 5).
        if local.view != self._view and not local.view.first:
            self._view = local.view
            write_view(local.view)
        if not (local.is_primary and local.super_read_only):
            self._fenced = False
        return local

    def _decide(self, database: Database, seen: Observation) -> Action:
        action = decide(seen)
        if action.kind is not Kind.CONSULT:
            return action
        try:
            registry = self._registry(database)
        except RegistryError as error:
            return Action(Kind.WAIT, f"no group; the parameter store does not answer: {message(error)}")
        return decide(replace(seen, registry=registry))

    def _registry(self, database: Database) -> Registry:
        return self._parameters(database).read()

    def _parameters(self, database: Database) -> ParameterStore:
        if self._store is None:
            self._store = ParameterStore(database.group_parameters, database.server, database.region)
        return self._store

    def _act(self, action: Action, database: Database, seen: Observation) -> None:
        if action.kind is Kind.CREATE_TOKEN:
            if not self._parameters(database).create_token():
                log.info("another server created the token first")
        elif action.kind is Kind.CLAIM:
            if not self._parameters(database).create_claim(action.number):
                log.info("another server made claim %d first", action.number)
        elif action.kind is Kind.STAY:
            self._housekeeping(database, seen)
        elif action.kind not in (Kind.WAIT, Kind.REFUSE) and seen.local:
            if action.kind is Kind.FENCE:
                # Known before it is done: whatever ends this program in between, somebody lifts the fence.
                self._remember(action, fenced=True)
            if action.kind in STARTS:
                self._remember(action, intended=action.group)
            carry_out(action, database)
            if action.kind is Kind.UNFENCE:
                self._remember(action, fenced=False)
            self._beginning = action.kind is Kind.BOOTSTRAP
            if action.kind in STARTS:
                # Another life of the group: its claim is to be marked done, its accounts to be looked at.
                self._completed, self._slow_log, self._reconciled = False, None, ()
            if action.kind is Kind.BOOTSTRAP:
                FORCE.unlink(missing_ok=True)

    def _housekeeping(self, database: Database, seen: Observation) -> None:
        """A healthy member: its slow log, and on the primary accounts and parameters."""
        connection = self._mysqld.connection
        if connection and connection is not self._slow_log:
            # Off while it joined (mysqld.cnf says why).
            connection.run("SET GLOBAL slow_query_log = ON")
            self._slow_log = connection
        if not (seen.local and seen.local.writable and connection):
            self._completed, self._reconciled = False, ()
            return
        wanted = (*changed(Path(database.secrets)), *changed(accounts.SCHEMA))
        if wanted != self._reconciled or time.monotonic() - self._reconciled_at > RECONCILE_SECONDS:
            for line in accounts.reconcile(connection, database):
                log.info("%s", line)
            self._reconciled, self._reconciled_at = wanted, time.monotonic()
        if not self._completed:
            store = self._parameters(database)
            store.complete(store.read())
            self._completed = True

    def _remember(self, action: Action, *, fenced: bool | None = None, intended: str | None = None) -> None:
        self._fenced = self._fenced if fenced is None else fenced
        self._intended = self._intended if intended is None else intended
        self._tell(action, again=True)

    def _tell(self, action: Action, *, again: bool = False) -> None:
        """The journal hears of every change, the state file of every look that changed something."""
        said = f"{action.kind.value}: {action.reason}"
        if said == self._last and not again:
            return
        if not again:
            log.log(logging.WARNING if action.kind is Kind.REFUSE else logging.INFO, "%s", said)
        self._last = said
        at = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"action": action.kind.value, "reason": action.reason, "at": at}
        write(STATE, told | {"fenced": self._fenced, "intended": self._intended})


def write_view(view: View, path: Path = VIEW_PATH) -> None:
    """Keep the view on the data volume, durably: after an outage it says who may hold newer writes."""
    write(path, view.to_json())


def _forced() -> bool:
    return FORCE.exists() and time.time() - FORCE.stat().st_mtime < FORCE_SECONDS


def lead() -> int:
    """Permit the daemon to lead with what this server has, for FORCE_SECONDS; the exit code."""
    problem = "" if run(["systemctl", "is-active", "--quiet", UNIT]).ok else "it does not run on this server"
    try:
        if not problem:
            FORCE.touch()
    except OSError as error:
        problem = str(error)
    if problem:
        mend = f"`systemctl restart {UNIT}`, then type this again"
        print(f"{UNIT} was not told to lead ({problem}): {mend}", file=sys.stderr)
        return 1
    print(f"this server leads when no group is seen within {FORCE_SECONDS / 60:g} minutes; see tripod status")
    return 0


def main(arguments: list[str]) -> int:
    """The daemon, or `lead --accept-loss`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    if arguments == ["lead", "--accept-loss"]:
        return lead()
    if arguments:
        print("usage: python3 -m host.group [lead --accept-loss]", file=sys.stderr)
        return 2
    serve(Group(Facts()).step)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
