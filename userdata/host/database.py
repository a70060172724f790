"""What this server knows of its MySQL and the group, from /etc/tripod/database.json, and how to talk to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

PATH = Path("/etc/tripod/database.json")
SOCKET = "/run/mysqld/mysqld.sock"

Row = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One configured member of the group."""

    name: str
    address: str
    server_id: int


@dataclass(frozen=True)
class Database:
    """The group as it is configured, seen from this server. `members` includes it, unless it is a read replica."""

    stack: str
    region: str
    server: str
    members: tuple[Member, ...]
    preferred_primary: str
    group_parameters: str
    """SSM path of the group's parameters, without a trailing slash."""
    mysql_port: int
    group_port: int
    role_check_port: int
    ca_file: str
    secrets: str
    """Folder with one password file per account."""
    read_replica: Member | None = None
    """This server, when it follows the group without being a member."""
    replica_lag_seconds: int = 30
    """How old a read replica's data may be before nobody is sent there."""

    @classmethod
    def load(cls, path: Path = PATH) -> Database:
        """Read the file that userdata.mysql renders. OSError or ValueError when it is missing or damaged."""
        raw: dict[str, Any] = json.loads(path.read_text())
        try:
            members = tuple(Member(m["name"], m["address"], int(m["server_id"])) for m in raw.pop("members"))
            own = raw.pop("read_replica", None)
            replica = Member(own["name"], own["address"], int(own["server_id"])) if own else None
            return cls(members=members, read_replica=replica, **raw)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @property
    def me(self) -> Member:
        """This server: one of the members, or a read replica."""
        return self.read_replica or next(member for member in self.members if member.name == self.server)

    @property
    def peers(self) -> tuple[Member, ...]:
        """The other members."""
        return tuple(member for member in self.members if member.name != self.server)

    @property
    def majority(self) -> int:
        """How many members are more than half of those configured."""
        return len(self.members) // 2 + 1

    def seed(self, name: str) -> str:
        """`group_replication_group_seeds` entry of a member."""
        return next(f"{m.address}:{self.group_port}" for m in self.members if m.name == name)

    def password(self, account: str) -> str:
        """The password of an account; OSError when the bundle has not brought it."""
        return Path(self.secrets, account).read_text().rstrip("\n")


class Facts:
    """The facts, read again when the file changes: a stack that grows restarts nothing."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._changed = 0
        self._database: Database | None = None

    def __call__(self) -> Database:
        """The current facts. Raises what Database.load raises."""
        changed = self._path.stat().st_mtime_ns
        if self._database is None or changed != self._changed:
            self._database, self._changed = Database.load(self._path), changed
        return self._database


class Connection:
    """One connection to the local mysqld over its socket, authenticated by the operating system's user.

    Every call raises pymysql.MySQLError (or OSError while mysqld is down); the caller opens a new one then.
    `seconds` bounds connecting and each statement: a hung mysqld must not hang its watcher.
    """

    def __init__(self, user: str = "root", *, seconds: float = 5.0, socket: str = SOCKET) -> None:
        self._connection = pymysql.connect(
            unix_socket=socket,
            user=user,
            connect_timeout=seconds,
            read_timeout=seconds,
            write_timeout=seconds,
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=True,  # a socket file: nothing travels over the network
            cursorclass=pymysql.cursors.DictCursor,
        )

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """The rows of a query; column names are lower case."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return [{name.lower(): value for name, value in row.items()} for row in cursor.fetchall()]

    def row(self, statement: str, parameters: tuple[Any, ...] = ()) -> Row:
        """The first row, empty when there is none."""
        return next(iter(self.rows(statement, parameters)), {})

    def run(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
        """A statement without rows. Parameters are put in by the client, so prepared ones are not needed."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)

    def close(self) -> None:
        """End the connection without asking the server."""
        self._connection._force_close()  # noqa: SLF001  a polite close would wait for a hung server

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
