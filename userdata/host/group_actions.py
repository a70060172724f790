"""Carries out what group_decision decides: the statements of Group Replication."""

from __future__ import annotations

import logging

from . import accounts
from .database import Connection, Database
from .group_decision import Action, Kind
from .system import run

log = logging.getLogger("tripod-group")

# START waits for the group's view and, while it joins, up to a minute for a seed; STOP for the applier.
LONG = 180.0

# Weight in an election (0 to 100): the preferred primary before the others, when both are able.
WEIGHT_PREFERRED = 80
WEIGHT = 50

# Empty members copy everything; the others catch up from the binary log and fall back to a clone by
# themselves when the log no longer reaches that far (manual, "Cloning for Distributed Recovery").
CLONE_ALWAYS = 1
CLONE_NEVER = 9223372036854775807


# An orderly end would first wait half a minute for the group's communication to end, which may be what hangs. It is
# read-only, and what it has acknowledged is on its disk: recovery after a crash takes a second or two.
KILL = ("systemctl", "kill", "--signal=SIGKILL", "mysql.service")


def carry_out(action: Action, database: Database) -> None:
    """Do one step on the local mysqld. Raises pymysql.MySQLError or OSError when it fails."""
    if action.kind is Kind.RESTART:
        done = run(KILL)
        if not done.ok:
            raise OSError(done.last_line)
        return
    with Connection(seconds=LONG) as connection:
        if action.kind is Kind.BOOTSTRAP:
            _bootstrap(connection, database, action)
        elif action.kind is Kind.JOIN:
            _take_no_writes(connection)
            _join(connection, database, action)
        elif action.kind is Kind.LEAVE:
            connection.run("STOP GROUP_REPLICATION")
            _take_no_writes(connection)
        elif action.kind is Kind.PROVISION:
            for line in accounts.reconcile(connection, database):
                log.info("%s", line)
        elif action.kind in (Kind.FENCE, Kind.UNFENCE):
            # Waits for running commits; those that wait for the group must not hold this up.
            connection.run("SET SESSION lock_wait_timeout = 3")
            # Each also sets the other (manual, "super_read_only"): nobody sees, or is left with, half of it.
            connection.run(
                "SET GLOBAL super_read_only = ON" if action.kind is Kind.FENCE else "SET GLOBAL read_only = OFF"
            )


def _take_no_writes(connection: Connection) -> None:
    # Also after an operator's hand: nothing outside the group may write.
    connection.run("SET GLOBAL super_read_only = ON")


def _settings(connection: Connection, database: Database, name: str, seeds: str, clone_threshold: int) -> None:
    weight = WEIGHT_PREFERRED if database.server == database.preferred_primary else WEIGHT
    connection.run("SET GLOBAL group_replication_group_name = %s", (name,))
    connection.run("SET GLOBAL group_replication_group_seeds = %s", (seeds,))
    connection.run("SET GLOBAL group_replication_member_weight = %s", (weight,))
    connection.run("SET GLOBAL group_replication_clone_threshold = %s", (clone_threshold,))


def _start(connection: Connection, database: Database) -> None:
    """With the credentials for recovery, which mysqld then keeps in memory only.

    They are hidden in every log, but not in the CLONE INSTANCE that Group Replication itself may run: no slow log.
    """
    connection.run("SET GLOBAL slow_query_log = OFF")
    password = database.password("replication")
    connection.run("START GROUP_REPLICATION USER = 'replication', PASSWORD = %s", (password,))


def _bootstrap(connection: Connection, database: Database, action: Action) -> None:
    _settings(connection, database, action.group_name, database.seed(database.server), CLONE_NEVER)
    connection.run("SET GLOBAL group_replication_bootstrap_group = ON")
    try:
        _start(connection, database)
    finally:
        connection.run("SET GLOBAL group_replication_bootstrap_group = OFF")


def _join(connection: Connection, database: Database, action: Action) -> None:
    seeds = ",".join(database.seed(name) for name in action.seeds if name in {m.name for m in database.members})
    _settings(connection, database, action.group_name, seeds, CLONE_ALWAYS if action.clone else CLONE_NEVER)
    if action.clone:
        # What a damaged member says it holds is not there; the group must not believe it.
        connection.run("RESET BINARY LOGS AND GTIDS")
    _start(connection, database)
