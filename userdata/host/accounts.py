"""MySQL accounts, the application's schema: brought to what this server's files say, on the primary.

Statements with a password reach no log in clear: MySQL writes CREATE and ALTER USER to the binary log with the
hash it made, and to the general and slow logs with <secret>. The client sends them over the local socket.

A password is tried, not remembered: an account whose password does not log in gets the one in the file. The old
one stays valid for an hour (RETAIN CURRENT PASSWORD), while other servers still fetch the new one. They may fetch it
only then: a roll-out begins with host.passwords on the primary.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
from pymysql.constants import ER

from .database import Connection, Database

SCHEMA = Path("/opt/tripod/app/schema.sql")
INITIALISE = Path("/etc/mysql/tripod-initialise.sql")

LOCAL_ACCOUNTS = {"role_check", "debian-sys-maint"}
"""What the init file makes: not replicated, reached over the socket only, without a password."""


@dataclass(frozen=True)
class Account:
    """One account, open to every host of the network (security groups narrow it), over TLS only."""

    name: str
    grants: tuple[str, ...]


ACCOUNTS = (
    Account("app_writer", ("SELECT, INSERT, UPDATE, DELETE ON app.*",)),
    Account("app_reader", ("SELECT ON app.*",)),
    # Recovery from a donor's binary log, and clone (manual, "User Credentials For Distributed Recovery").
    # Read replicas also read the membership (manual, "Asynchronous Connection Failover for Sources").
    Account(
        "replication",
        (
            "REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.*",
            "SELECT ON performance_schema.*",
        ),
    ),
    Account(
        "monitoring",
        ("PROCESS, REPLICATION CLIENT ON *.*", "SELECT ON performance_schema.*", "SELECT ON sys.*"),
    ),
    Account(
        "backup",
        ("SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, PROCESS, REPLICATION CLIENT, BACKUP_ADMIN ON *.*",),
    ),
)

# A change of ACCOUNTS must reach stacks that exist, so a digest of it is kept in tripod.applied.
DEFINITION = hashlib.sha256(repr(ACCOUNTS).encode()).hexdigest()

# The password was right, but the account has no connection left.
_TOO_MANY = (1040, 1203, 1226)

Login = Callable[[str, str], bool]


def reconcile(connection: Connection, database: Database, login: Login | None = None) -> list[str]:
    """Bring accounts and schema to what is wanted; returns what was done, for the journal. Idempotent.

    `connection` must be to a writable primary. Raises OSError when a password file is missing, pymysql.MySQLError
    when a statement fails. The accounts come first: the other members wait for them to join.
    """

    def over_tcp(user: str, password: str) -> bool:
        return can_log_in(database, user, password)

    done = list(_users(connection, database, login or over_tcp))
    applied = _applied(connection)
    if applied.get("accounts") != DEFINITION:
        for account in ACCOUNTS:
            _grant(connection, account)
        connection.run("CREATE DATABASE IF NOT EXISTS app")
        _record(connection, "accounts", DEFINITION)
        done.append("granted what the accounts may do")
    return done + _schema(connection, applied, SCHEMA)


def take_over(connection: Connection, database: Database) -> None:
    """Give the accounts of a restored copy the passwords of this server's files: a backup may be older than they are.

    The members that are cloned from it log in with theirs, and it cannot change accounts before they have: a primary
    alone takes no writes. `connection` must be to a mysqld without a binary log: nothing is added to its GTIDs.
    """
    there = {row["user"] for row in connection.rows("SELECT user FROM mysql.user WHERE host = '%'")}
    for account in ACCOUNTS:
        if account.name in there:
            password = database.password(account.name)
            connection.run(f"ALTER USER '{account.name}'@'%%' IDENTIFIED BY %s", (password,))


def ensure_local(connection: Connection, path: Path = INITIALISE) -> list[str]:
    """Give a data directory that lacks one of the local accounts all of them; returns what was done.

    It may be the distribution's (an older Tripod let the package initialise it), or older than one of the accounts.
    Only for a server outside its group; nothing is written to the binary log, so that it can still join.
    """
    there = {row["user"] for row in connection.rows("SELECT user FROM mysql.user WHERE host = 'localhost'")}
    if there >= LOCAL_ACCOUNTS:
        return []
    plugins = {row["name"] for row in connection.rows("SELECT name FROM mysql.plugin")}
    connection.run("SET SESSION sql_log_bin = OFF")
    connection.run("SET GLOBAL super_read_only = OFF")
    try:
        for statement in statements(path.read_text()):
            if not (statement.startswith("INSTALL PLUGIN") and "auth_socket" in plugins):
                connection.run(statement)
    finally:
        connection.run("SET GLOBAL super_read_only = ON")
        connection.run("SET SESSION sql_log_bin = ON")
    return ["created the local accounts"]


def _users(connection: Connection, database: Database, login: Login) -> Iterator[str]:
    rows = connection.rows(
        "SELECT user, JSON_CONTAINS_PATH(COALESCE(user_attributes, '{}'), 'one', '$.additional_password') AS old,"
        " password_last_changed < NOW() - INTERVAL 1 HOUR AS settled FROM mysql.user WHERE host = '%'"
    )
    existing = {row["user"]: row for row in rows}
    for account in ACCOUNTS:
        password = database.password(account.name)
        name = f"'{account.name}'@'%%'"  # doubled: statements with a parameter are a format
        if account.name not in existing:
            connection.run(f"CREATE USER {name} IDENTIFIED WITH caching_sha2_password BY %s REQUIRE SSL", (password,))
            yield f"created {account.name}"
        elif not login(account.name, password):
            connection.run(f"ALTER USER {name} IDENTIFIED BY %s RETAIN CURRENT PASSWORD", (password,))
            yield f"changed the password of {account.name}"
        elif existing[account.name]["old"] and existing[account.name]["settled"]:
            connection.run(f"ALTER USER '{account.name}'@'%' DISCARD OLD PASSWORD")
            yield f"discarded the old password of {account.name}"


def _grant(connection: Connection, account: Account) -> None:
    """Exactly the account's grants: what it had before and should not have goes."""
    connection.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{account.name}'@'%'")
    for grant in account.grants:
        connection.run(f"GRANT {grant} TO '{account.name}'@'%'")


def _schema(connection: Connection, applied: dict[str, str], path: Path) -> list[str]:
    """Run the application's schema when it has changed. Its statements must bear being run again."""
    if not path.exists():
        return []
    text = path.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    if applied.get("schema") == digest:
        return []
    connection.run("USE app")
    for statement in statements(text):
        connection.run(statement)
    _record(connection, "schema", digest)
    return ["applied the schema"]


def statements(text: str) -> list[str]:
    """The statements of an SQL script: each ends with a semicolon at the end of a line; `--` lines are dropped."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*(--\s|--$|#)", line)]
    parts = re.split(r";[ \t]*(?:\n|$)", "\n".join(lines))
    return [part.strip() for part in parts if part.strip()]


def _applied(connection: Connection) -> dict[str, str]:
    try:
        return {row["name"]: row["digest"] for row in connection.rows("SELECT name, digest FROM tripod.applied")}
    except pymysql.MySQLError as error:
        if error.args[0] in (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR):
            return {}
        raise


def _record(connection: Connection, name: str, digest: str) -> None:
    connection.run("CREATE DATABASE IF NOT EXISTS tripod")
    connection.run(
        "CREATE TABLE IF NOT EXISTS tripod.applied (name VARCHAR(64) PRIMARY KEY, digest CHAR(64) NOT NULL,"
        " at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)"
    )
    connection.run("REPLACE INTO tripod.applied (name, digest) VALUES (%s, %s)", (name, digest))


def can_log_in(database: Database, user: str, password: str) -> bool:
    """Whether `user` may log in with `password`, as an application would: over TCP and TLS."""
    context = ssl.create_default_context(cafile=database.ca_file)
    try:
        pymysql.connect(
            host=database.me.address,
            port=database.mysql_port,
            user=user,
            password=password,
            ssl=context,
            connect_timeout=5,
            read_timeout=5,
        ).close()
    except pymysql.OperationalError as error:
        if error.args[0] == ER.ACCESS_DENIED_ERROR:
            return False
        if error.args[0] not in _TOO_MANY:
            raise
    return True
