"""What a read replica does next: a pure function of what it observes.

A read replica never votes, never leads and never takes a write. What it holds is a prefix of what the group holds, so
an empty, damaged or outrun one may be cloned without asking; one that holds anything else is stopped, for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .database_state import DatabaseState
from .gtid import GtidSet
from .replica_state import ReplicaState

# A receiver that has looked for a source this long (seconds) while the group is well is set up anew.
CONNECTING_LIMIT = 30.0

# ER_ACCESS_DENIED_ERROR: the replication account has another password now.
_DENIED = 1045
# ER_SERVER_SOURCE_FATAL_ERROR_READING_BINLOG and ER_SOURCE_HAS_PURGED_REQUIRED_GTIDS
_UNREADABLE = (1236, 1789, 13114)


class Kind(StrEnum):
    """What to do."""

    STAY = "stay"
    WAIT = "wait"
    REFUSE = "refuse"
    """Stop following and wait for a person."""
    FENCE = "fence"
    CLONE = "clone"
    FOLLOW = "follow"


@dataclass(frozen=True)
class Action:
    """One step and, for people, why."""

    kind: Kind
    reason: str
    member: str = ""
    """CLONE: the donor; FOLLOW: the first source."""
    group_name: str = ""
    """FOLLOW: the group, by `group_replication_group_name`."""


@dataclass(frozen=True)
class Observation:
    """Everything a decision rests on. `peers` are the members that answered, None when they were not asked."""

    local: ReplicaState | None
    peers: Mapping[str, DatabaseState] | None = field(default_factory=dict)
    settled: GtidSet = field(default_factory=GtidSet)
    """What it held at a look before this one: the peers' answers may be a moment older than its own state."""
    connecting: float = 0.0
    """Seconds for which the receiver has been without a source."""
    stopping: bool = False
    """mysql.service is being stopped."""


def decide(seen: Observation) -> Action:
    """The next step of this read replica."""
    local = seen.local
    if local is None:
        return Action(Kind.WAIT, "mysqld does not answer")
    if seen.stopping:
        return Action(Kind.WAIT, "mysql.service is being stopped")
    if not local.super_read_only:
        return Action(Kind.FENCE, "super_read_only was off: a read replica takes no write")
    group = [peer for peer in (seen.peers or {}).values() if peer.sound and peer.provisioned]
    if group:
        errant = (seen.settled if local.running else local.holds) - _held(group)
        if errant:
            return Action(
                Kind.REFUSE,
                f"this server holds transactions that the group never had: {errant}; it must not follow. "
                "Save them if they matter, then empty its data directory: it will be cloned",
            )
    # After an outage of all members the group has another name, and MySQL would follow none of them.
    renamed = bool(group) and local.group_name not in ("", group[0].group_name)
    if local.following and not renamed:
        return Action(Kind.STAY, f"following {local.source}")
    if not group:
        return Action(Kind.WAIT, "no member of a healthy group answers")
    if not local.holds:
        donor = _donor(group)
        return Action(Kind.CLONE, f"empty; taking a copy of {donor}", donor)
    if local.errno in _UNREADABLE and "purged" in local.error:
        donor = _donor(group)
        return Action(Kind.CLONE, f"away for longer than the binary logs reach; taking a copy of {donor}", donor)
    if local.running and not renamed and local.errno != _DENIED and seen.connecting < CONNECTING_LIMIT:
        return Action(Kind.WAIT, f"looking for a source: {local.error or 'connecting'}")
    primary = group[0].primary or group[0].server
    why = f" ({local.error})" if local.error else ""
    return Action(Kind.FOLLOW, f"following the group, first {primary}{why}", primary, group[0].group_name)


def _held(group: list[DatabaseState]) -> GtidSet:
    held = GtidSet()
    for peer in group:
        held |= peer.holds
    return held


def _donor(group: list[DatabaseState]) -> str:
    """A replica, the one least behind; the primary only when there is nobody else."""
    return min(group, key=lambda peer: (peer.is_primary, peer.lag, peer.server_id)).server
