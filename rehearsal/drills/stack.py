"""A handle on a running rehearsal: its servers, their databases, its public addresses, and its power switches."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.cursors import DictCursor

from rehearsal.cgroup import Cgroup
from rehearsal.daemon import Daemon
from rehearsal.drills.waiting import wait_until
from rehearsal.host_process import enter_command, leader_of
from rehearsal.paths import StackPaths
from rehearsal.shell import RehearsalError, Result, run
from topology.model import Topology

SOCKET = "run/mysqld/mysqld.sock"
QUERY_TIMEOUT = 2


@dataclass(frozen=True)
class Member:
    """What a database server says of itself at one moment. `online` and `members` as it sees its group."""

    server: str
    super_read_only: bool
    member_state: str
    member_role: str
    members: int
    online: int
    gtid_executed: str

    @property
    def has_majority(self) -> bool:
        """Whether it sees more than half of its group's members online."""
        return self.member_state == "ONLINE" and self.online * 2 > self.members

    @property
    def is_primary(self) -> bool:
        """Whether it leads a group that can commit."""
        return self.member_role == "PRIMARY" and self.has_majority and not self.super_read_only


MEMBER_QUERY = """
SELECT @@global.super_read_only AS super_read_only, @@global.gtid_executed AS gtid_executed,
  COALESCE(MAX(IF(member_id = @@global.server_uuid, member_state, NULL)), 'OFFLINE') AS member_state,
  COALESCE(MAX(IF(member_id = @@global.server_uuid, member_role, NULL)), '') AS member_role,
  COUNT(*) AS members, COALESCE(SUM(member_state = 'ONLINE'), 0) AS online
FROM performance_schema.replication_group_members
"""


class Stack:
    """A running rehearsal. Raises RehearsalError when there is none."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.daemon = Daemon(topology.stack)
        self.daemon.ask("ping")

    @property
    def name(self) -> str:
        """Name of the stack."""
        return self.topology.stack

    @property
    def ca_file(self) -> str:
        """Path of the CA certificate that clients trust."""
        return str(self.daemon.ca_file)

    @property
    def world(self) -> str:
        """The network namespace that is the Internet to this stack."""
        return f"tripod-{self.name}-world"

    @property
    def databases(self) -> tuple[str, ...]:
        """Names of the members of the group."""
        return tuple(server.name for server in self.topology.databases)

    @property
    def copies(self) -> tuple[str, ...]:
        """Names of all servers that hold the data: members of the group and read replicas."""
        return self.databases + tuple(server.name for server in self.topology.read_replicas)

    def addresses(self) -> list[str]:
        """Public addresses that lead to a host at this moment."""
        return [str(address) for address in self.daemon.ask("ping")["addresses"]]

    def site_name(self) -> str | None:
        """The DNS name that the site's certificate carries in the place of addresses, if any."""
        if self.topology.tls.mode == "provided":
            return self.topology.domain or "localhost"
        names = self.daemon.ask("ping")["names"]
        return str(names[0]) if names else None

    def elastic(self) -> dict[str, str]:
        """Private address of the server that each Elastic IP leads to at this moment, by public address."""
        found: dict[str, str] = self.daemon.ask("elastic")["elastic"]
        return found

    def exec(self, server: str, *command: str, timeout: float = 60, check: bool = True) -> Result:
        """Run a command on a server as root."""
        cgroup = self._cgroup(server)
        group = f"drill-{os.getpid()}-{time.monotonic_ns()}"
        try:
            return run(enter_command(cgroup, self.leader(server), group, command), timeout=timeout, check=check)
        finally:
            with contextlib.suppress(OSError):  # the host went down, or the command left a process behind
                (cgroup.path / group).rmdir()

    def _cgroup(self, server: str) -> Cgroup:
        return Cgroup(StackPaths(self.name).object_name(server))

    def leader(self, server: str) -> int:
        """Process id, on this machine, of a server's systemd. Raises RehearsalError when the server is off."""
        cgroup = self._cgroup(server)
        # A booting systemd moves itself, so one look may just miss it.
        found = leader_of(cgroup) or leader_of(cgroup)
        if found is None:
            raise RehearsalError(f"{server} of stack {self.name} is not running")
        return found

    def power(self, action: str, *servers: str) -> None:
        """`kill` (cut the power), `stop` (in order) or `start` servers, all at the same moment."""
        self.daemon.ask("power", servers=list(servers), action=action, timeout=180)

    def fault(self, action: str, *arguments: object) -> None:
        """Break the fabric: `cut` SERVER, `block` A B [PROTOCOL], `netem` SERVER LOSS DELAY, `heal` [SERVER]."""
        self.daemon.ask("fault", action=action, arguments=[str(argument) for argument in arguments])

    def connect(self, server: str) -> pymysql.connections.Connection[DictCursor]:
        """A connection to a server's mysqld as its root, through its socket: it needs no network.

        Raises RehearsalError when the host is off or mysqld does not answer.
        """
        path = f"/proc/{self.leader(server)}/root/{SOCKET}"
        try:
            return pymysql.connect(
                unix_socket=path,
                user="root",
                autocommit=True,
                cursorclass=DictCursor,
                connect_timeout=QUERY_TIMEOUT,
                read_timeout=QUERY_TIMEOUT,
            )
        except (pymysql.MySQLError, OSError) as error:
            raise RehearsalError(f"mysqld of {server} does not answer: {error}") from error

    def query(self, server: str, sql: str) -> list[dict[str, Any]]:
        """Rows of one statement on one server. Raises RehearsalError as `connect`, or with MySQL's own message."""
        with self.connect(server) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except (pymysql.MySQLError, OSError) as error:
                raise RehearsalError(f"{server}: {error}") from error
            return list(cursor.fetchall())

    def member(self, server: str) -> Member:
        """What a database server says of itself."""
        return member_of(server, self.query(server, MEMBER_QUERY)[0])

    def primary(self) -> str:
        """Name of the server that leads the group. Raises RehearsalError when there is none, or more than one."""
        found = [member.server for member in self._members() if member.is_primary]
        if len(found) != 1:
            raise RehearsalError(f"primaries: {', '.join(found) or 'none'}")
        return found[0]

    def replicas(self) -> tuple[str, ...]:
        """Names of the members that follow the primary."""
        primary = self.primary()
        return tuple(server for server in self.databases if server != primary)

    def _members(self) -> list[Member]:
        found = []
        for server in self.databases:
            try:
                found.append(self.member(server))
            except RehearsalError:  # a server that is down has no say
                continue
        return found

    def whole(self) -> bool:
        """Whether every member is ONLINE in one group of all of them, with one primary."""
        members = self._members()
        everyone = len(self.databases)
        return (
            len(members) == everyone
            and all(member.online == everyone and member.members == everyone for member in members)
            and sum(member.is_primary for member in members) == 1
        )

    def healthy(self) -> bool:
        """Whether every server is on and says that it is healthy."""
        servers = self.daemon.ask("status", timeout=60)["servers"]
        return all(server["state"] == "running" and server["status"].get("healthy") for server in servers)

    def wait_whole(self, timeout: float = 120) -> None:
        """Wait until the group is whole again."""
        wait_until("every member ONLINE with one primary", self.whole, timeout=timeout, details=self.journals)

    def wait_healthy(self, timeout: float = 180) -> None:
        """Wait until every server says that it is healthy."""
        wait_until("every server healthy", self.healthy, timeout=timeout, pause=0.5, details=self.journals)

    def journals(self, servers: Sequence[str] = (), lines: int = 25) -> str:
        """The last lines of the journals of all servers, or of those named, for a failure's message."""
        parts = []
        for server in servers or [one.name for one in self.topology.servers]:
            text = str(self.daemon.ask("journal", server=server, unit=None, lines=lines)["text"])
            parts.append(f"--- journal of {server}\n{text.rstrip()}")
        return "\n".join(parts)


def member_of(server: str, row: dict[str, Any]) -> Member:
    """A Member from one row of the query above."""
    return Member(
        server=server,
        super_read_only=bool(row["super_read_only"]),
        member_state=str(row["member_state"]),
        member_role=str(row["member_role"]),
        members=int(row["members"]),
        online=int(row["online"]),
        gtid_executed=str(row["gtid_executed"]).replace("\n", ""),
    )
