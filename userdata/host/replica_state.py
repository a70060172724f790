"""The state of a read replica, as it sees itself: what its role check answers from and what replica_decision reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .database import Connection, Database
from .gtid import GtidSet

CHANNEL = "from_group"

# One statement, so that what is compared was true at one time. Heartbeats come every second while nothing is written
# (SOURCE_HEARTBEAT_PERIOD), so the time since the source was last heard bounds how old the data can be.
_STATE = """
SELECT @@global.super_read_only AS read_only, @@global.gtid_executed AS executed,
  c.service_state AS receiver, c.received_transaction_set AS received,
  c.last_error_number AS receiver_errno, c.last_error_message AS receiver_error,
  (SELECT host FROM performance_schema.replication_connection_configuration
    WHERE channel_name = 'from_group') AS source,
  (SELECT MAX(managed_name) FROM performance_schema.replication_asynchronous_connection_failover_managed
    WHERE channel_name = 'from_group') AS group_name,
  (SELECT service_state FROM performance_schema.replication_applier_status
    WHERE channel_name = 'from_group') AS applier,
  (SELECT MAX(last_error_message) FROM performance_schema.replication_applier_status_by_worker
    WHERE channel_name = 'from_group' AND last_error_number <> 0) AS applier_error,
  (SELECT MAX(TIMESTAMPDIFF(MICROSECOND, applying_transaction_original_commit_timestamp, NOW(6)))
    FROM performance_schema.replication_applier_status_by_worker
    WHERE channel_name = 'from_group' AND applying_transaction <> ''
      AND applying_transaction_original_commit_timestamp > '2000-01-01') AS behind,
  IF(GREATEST(c.last_heartbeat_timestamp, c.last_queued_transaction_end_queue_timestamp) > '2000-01-01',
    TIMESTAMPDIFF(MICROSECOND,
      GREATEST(c.last_heartbeat_timestamp, c.last_queued_transaction_end_queue_timestamp), NOW(6)), NULL) AS silent,
  (SELECT COUNT(*) FROM performance_schema.clone_progress
    WHERE stage = 'DROP DATA' AND state <> 'Not Started') AS dropped,
  (SELECT COUNT(*) FROM performance_schema.clone_status WHERE state <> 'Completed') AS uncloned,
  (SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = 'tripod' AND table_name = 'applied') AS provisioned
FROM (SELECT 1 AS one) AS always
LEFT JOIN performance_schema.replication_connection_status AS c ON c.channel_name = 'from_group'
"""


@dataclass(frozen=True)
class ReplicaState:
    """What one read replica reports of itself. `receiver` and `applier` are ON, OFF or CONNECTING."""

    server: str
    receiver: str = "OFF"
    applier: str = "OFF"
    source: str = ""
    """The member that it follows, by name; empty before it follows any."""
    group_name: str = ""
    """The group that it follows (`group_replication_group_name` of its members); empty before it follows any."""
    errno: int = 0
    """MySQL's number of the receiver's last error, 0 for none."""
    error: str = ""
    """The receiver's or the applier's last error, in MySQL's words."""
    super_read_only: bool = True
    executed: GtidSet = field(default_factory=GtidSet)
    received: GtidSet = field(default_factory=GtidSet)
    damaged: bool = False
    """A clone dropped its data and did not end: what its GTID set says is not there."""
    provisioned: bool = False
    """The group's accounts are there."""
    lag: float | None = None
    """Upper bound, in seconds, of the age of its data; None when it never heard a source since it started."""

    @property
    def holds(self) -> GtidSet:
        """Every transaction that it has on disk."""
        return GtidSet() if self.damaged else self.executed | self.received

    @property
    def running(self) -> bool:
        """Whether both threads run; the receiver may be looking for a source."""
        return self.applier == "ON" and self.receiver in ("ON", "CONNECTING")

    @property
    def following(self) -> bool:
        """Whether it receives and applies what the group writes."""
        return self.applier == "ON" and self.receiver == "ON"

    def to_json(self) -> dict[str, Any]:
        """For /state."""
        return asdict(self) | {"executed": str(self.executed), "received": str(self.received)}

    @classmethod
    def from_json(cls, raw: Any) -> ReplicaState:
        """The inverse of `to_json`. Raises ValueError when `raw` is something else."""
        try:
            sets = {key: GtidSet.parse(raw[key]) for key in ("executed", "received")}
            return cls(**(raw | sets))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a read replica's state: {error!r}") from error


def observe_replica(connection: Connection, database: Database) -> ReplicaState:
    """Ask the local mysqld. Raises what Connection raises."""
    row = connection.row(_STATE)
    behind = float(row["behind"] or 0) / 1e6
    silent = None if row["silent"] is None else float(row["silent"]) / 1e6
    return ReplicaState(
        server=database.server,
        receiver=row["receiver"] or "OFF",
        applier=row["applier"] or "OFF",
        source=row["source"] or "",
        group_name=row["group_name"] or "",
        errno=int(row["receiver_errno"] or 0),
        error=row["applier_error"] or row["receiver_error"] or "",
        super_read_only=bool(row["read_only"]),
        executed=GtidSet.parse(row["executed"]),
        received=GtidSet.parse(row["received"] or ""),
        damaged=bool(row["dropped"] and row["uncloned"]),
        provisioned=bool(row["provisioned"]),
        lag=None if silent is None else max(behind, silent - HEARTBEAT, 0.0),
    )


# SOURCE_HEARTBEAT_PERIOD in seconds: a silence of this length says nothing of a lag.
HEARTBEAT = 1.0
