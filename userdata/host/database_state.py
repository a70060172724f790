"""The state of one MySQL server, as it sees itself: what the role check answers from and what peers compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .database import Connection, Database
from .gtid import GtidSet

VIEW_PATH = Path("/var/lib/tripod/group/view.json")

# One statement, so that what is compared was true at one time. Received transactions are in the relay log:
# a member applies them before it leads.
_SCALARS = """
SELECT @@global.super_read_only AS read_only, @@global.gtid_executed AS executed,
  @@global.group_replication_group_name AS group_name,
  (SELECT received_transaction_set FROM performance_schema.replication_connection_status
    WHERE channel_name = 'group_replication_applier') AS received,
  (SELECT view_id FROM performance_schema.replication_group_member_stats
    WHERE member_id = @@global.server_uuid) AS view_id,
  (SELECT COUNT(*) FROM performance_schema.clone_progress
    WHERE stage = 'DROP DATA' AND state <> 'Not Started') AS dropped,
  (SELECT COUNT(*) FROM performance_schema.clone_status WHERE state <> 'Completed') AS uncloned,
  (SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = 'tripod' AND table_name = 'applied') AS provisioned,
  (SELECT MAX(TIMESTAMPDIFF(MICROSECOND, applying_transaction_original_commit_timestamp, NOW(6)))
    FROM performance_schema.replication_applier_status_by_worker
    WHERE channel_name = 'group_replication_applier' AND applying_transaction <> ''
      AND applying_transaction_original_commit_timestamp > '2000-01-01') AS behind
"""
_MEMBERS = """
SELECT member_id = @@global.server_uuid AS me, member_host, member_state, member_role
FROM performance_schema.replication_group_members ORDER BY member_host
"""


@dataclass(frozen=True)
class View:
    """One view of the group: `id` is "FIXED:COUNTER", `members` its names at that time."""

    id: str = ""
    members: tuple[str, ...] = ()
    primary: str | None = None
    """Who took its writes; a planned switchover changes it within a view."""

    @property
    def age(self) -> tuple[int, int]:
        """Sorts views by time: a newer group has a greater fixed part, a newer view a greater counter."""
        fixed, _, counter = self.id.partition(":")
        return (int(fixed or 0), int(counter or 0))

    @property
    def fixed(self) -> str:
        """What the ids of all views of one group have in common, and those of another group have not."""
        return self.id.partition(":")[0]

    @property
    def first(self) -> bool:
        """Whether it is a group's first view: of the member that began it, and whoever joins makes the second."""
        return self.age[1] == 1

    def to_json(self) -> dict[str, Any]:
        """As it is kept on the disk and told to peers."""
        return {"id": self.id, "members": list(self.members), "primary": self.primary}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> View:
        """The reverse of to_json. KeyError or TypeError when a field is missing or of the wrong kind."""
        return cls(str(raw["id"]), tuple(raw["members"]), raw.get("primary"))


@dataclass(frozen=True)
class DatabaseState:
    """What one server reports of itself. Names of members are server names (`report_host`)."""

    server: str
    server_id: int
    member_state: str = "OFFLINE"
    """OFFLINE, RECOVERING, ONLINE or ERROR (replication_group_members.MEMBER_STATE)."""
    primary: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    """State of every member of its view, as this server sees them (UNREACHABLE is possible, too)."""
    view: View = field(default_factory=View)
    """The last view in which it was ONLINE; after a restart the one that was written to disk."""
    super_read_only: bool = True
    executed: GtidSet = field(default_factory=GtidSet)
    received: GtidSet = field(default_factory=GtidSet)
    damaged: bool = False
    """A clone dropped its data and did not end: what its GTID set says is not there."""
    provisioned: bool = False
    """The accounts are there."""
    lag: float = 0.0
    """Seconds since the commit, on the primary, of the transaction that is being applied."""
    group_name: str = ""
    """`group_replication_group_name`, the UUID of its group's transactions. It says something of a member only."""
    intended: str = ""
    """`View.fixed` of the group that it began or came to join last; empty when that is not known."""

    @property
    def is_primary(self) -> bool:
        """Whether it is the primary of its view."""
        return self.primary == self.server

    @property
    def online(self) -> int:
        """How many members of its view are ONLINE."""
        return sum(state == "ONLINE" for state in self.members.values())

    @property
    def quorate(self) -> bool:
        """ONLINE, and it reaches more than half of its own view, so that the view can decide anything."""
        reached = sum(state in ("ONLINE", "RECOVERING") for state in self.members.values())
        return self.member_state == "ONLINE" and reached * 2 > len(self.members)

    @property
    def meant(self) -> bool:
        """Whether it is where it was to be, and not in a group that nobody began (docs/adr/0020)."""
        return self.intended == self.view.fixed or not (self.intended or self.view.first)

    @property
    def sound(self) -> bool:
        """Whether its group is one to join, to follow and to copy: it can decide, and is the one that was meant."""
        return self.quorate and self.meant

    @property
    def holds(self) -> GtidSet:
        """Every transaction that it has on disk."""
        return GtidSet() if self.damaged else self.executed | self.received

    @property
    def writable(self) -> bool:
        """Whether mysqld itself takes writes, as primary of its view."""
        return self.is_primary and self.member_state == "ONLINE" and not self.super_read_only

    def to_json(self) -> dict[str, Any]:
        """The body of GET /state."""
        return {
            "server": self.server,
            "server_id": self.server_id,
            "member_state": self.member_state,
            "group_name": self.group_name,
            "primary": self.primary,
            "members": dict(self.members),
            "view": self.view.to_json(),
            "intended": self.intended,
            "super_read_only": self.super_read_only,
            "gtid_executed": str(self.executed),
            "gtid_received": str(self.received),
            "damaged": self.damaged,
            "initialised": self.provisioned,
            "lag_seconds": self.lag,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DatabaseState:
        """The reverse of to_json. ValueError when a field is missing or of the wrong kind."""
        try:
            return cls(
                server=str(raw["server"]),
                server_id=int(raw["server_id"]),
                member_state=str(raw["member_state"]),
                group_name=str(raw["group_name"]),
                intended=str(raw.get("intended", "")),
                primary=raw["primary"],
                members={str(name): str(state) for name, state in raw["members"].items()},
                view=View.from_json(raw["view"]),
                super_read_only=bool(raw["super_read_only"]),
                executed=GtidSet.parse(raw["gtid_executed"]),
                received=GtidSet.parse(raw["gtid_received"]),
                damaged=bool(raw["damaged"]),
                provisioned=bool(raw["initialised"]),
                lag=float(raw["lag_seconds"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a database state: {error!r}") from error


def observe(connection: Connection, database: Database, last_view: View, intended: str) -> DatabaseState:
    """Ask the local mysqld. `last_view` stands in while it is in no group. Raises what Connection raises."""
    scalars = connection.row(_SCALARS)
    rows = connection.rows(_MEMBERS)
    state = next((row["member_state"] for row in rows if row["me"]), "OFFLINE")
    in_group = state in ("ONLINE", "RECOVERING")
    members = {row["member_host"]: row["member_state"] for row in rows} if in_group else {}
    primary = next((row["member_host"] for row in rows if in_group and row["member_role"] == "PRIMARY"), None)
    view = View(scalars["view_id"], tuple(members), primary) if state == "ONLINE" and scalars["view_id"] else last_view
    return DatabaseState(
        server=database.server,
        server_id=database.me.server_id,
        member_state=state,
        group_name=scalars["group_name"] or "",
        # A view of an earlier time says nothing of this group.
        intended=intended if scalars["view_id"] or state != "ONLINE" else "",
        primary=primary,
        members=members,
        view=view,
        super_read_only=bool(scalars["read_only"]),
        executed=GtidSet.parse(scalars["executed"]),
        received=GtidSet.parse(scalars["received"] or ""),
        damaged=bool(scalars["dropped"] and scalars["uncloned"]),
        provisioned=bool(scalars["provisioned"]),
        lag=float(scalars["behind"] or 0) / 1e6,
    )


def read_view(path: Path = VIEW_PATH) -> View:
    """The view that write_view kept; an empty one when there is none."""
    if not path.exists():
        return View()
    return View.from_json(json.loads(path.read_text()))
