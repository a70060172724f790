"""What a restore needs: which backup, which binary logs, up to which transaction. Pure.

A log may be applied when all that came before it in its own server's log (Previous_gtids) is there: so the logs of
several members complete each other, and the loss of one member, or of one object, leaves no gap. What no chain of logs
reaches is a gap, and a restore across it is refused.

What a member wrote outside its group never was in the database of the stack, and is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from .backup_store import BackupError, Stored
from .binlog import ShippedLog
from .gtid import GtidSet


@dataclass(frozen=True)
class Backup:
    """A backup in the bucket. `copied` is when its clone ended: no commit in it is later (microseconds since 1970)."""

    id: str
    server: str
    version: str
    gtids: GtidSet
    copied: int
    stored: Stored
    size: int
    """Bytes of its files when unpacked."""

    def to_json(self) -> dict[str, Any]:
        """Its manifest."""
        return {
            "format": 1,
            "id": self.id,
            "server": self.server,
            "mysql_version": self.version,
            "gtids": str(self.gtids),
            "copied": self.copied,
            "object": self.stored.to_json(),
            "size": self.size,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Backup:
        """The reverse of to_json. KeyError or ValueError when it is damaged."""
        stored = Stored.from_json(raw["object"])
        gtids, copied, size = GtidSet.parse(raw["gtids"]), int(raw["copied"]), int(raw["size"])
        return cls(raw["id"], raw["server"], raw["mysql_version"], gtids, copied, stored, size)


@dataclass(frozen=True)
class Target:
    """Where to stop: after the last commit at or before `moment` (microseconds), after transaction `gtid`, or never.

    `exactly` is the whole content instead: these transactions and no other.
    """

    moment: int | None = None
    gtid: GtidSet | None = None
    exactly: GtidSet | None = None

    def __str__(self) -> str:
        if self.moment is not None:
            return moment_text(self.moment)
        if self.exactly is not None:
            return str(self.exactly)
        return str(self.gtid) if self.gtid is not None else "the latest transaction"


@dataclass(frozen=True)
class Plan:
    """The backup, and the logs in the order in which they are applied, without what was written `outside` the group."""

    backup: Backup
    logs: tuple[ShippedLog, ...]
    outside: GtidSet


def moment_text(moment: int) -> str:
    """Microseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def written_outside(backups: Sequence[Backup], logs: Sequence[ShippedLog]) -> GtidSet:
    """What a server wrote under its own UUID, and no other server and no other's backup ever had.

    A group gives its own name to what it commits (manual, `group_replication_group_name`): a server's UUID tells that
    it took the write alone. Such a server may not join until its data directory is made anew. Its own backup is no
    witness, unless all backups have it: what a group began with was there before any of them.
    """
    found = GtidSet()
    for uuid, server in {log.uuid: log.server for log in logs}.items():
        own, shared = GtidSet(), _common([backup.gtids.of(uuid) for backup in backups])
        for log in logs:
            known = (log.previous | log.gtids).of(uuid)
            if log.uuid == uuid:
                own |= known
            else:
                shared |= known
        for backup in backups:
            if backup.server != server:
                shared |= backup.gtids.of(uuid)
        found |= own - shared
    return found


def plan(
    backups: Sequence[Backup],
    logs: Sequence[ShippedLog],
    present: Collection[str],
    target: Target,
    complete_until: int = 0,
) -> Plan:
    """Choose. `present` are the keys of all objects; every commit until `complete_until` is known to be in `logs`.

    BackupError names what lacks when the target is out of reach.
    """
    outside = written_outside(backups, logs)
    if target.gtid is not None and target.gtid & outside:
        raise BackupError(f"{target.gtid & outside} was written outside the group, the stack's database never held it")
    logs = [replace(log, previous=log.previous - outside, gtids=log.gtids - outside) for log in logs]
    clean = [one for one in backups if not one.gtids & outside]
    if backups and not clean:
        raise BackupError(f"every backup holds something of {outside}, which was written outside the group")
    backup = _backup(clean, target)
    if target.moment is not None:
        _within_reach(target.moment, max([complete_until, backup.copied, *(log.last for log in logs)]))
    wanted = [log for log in logs if _before(log, target) and log.gtids - backup.gtids]
    goal = target.gtid if target.exactly is None else target.exactly
    holds, chain, left = _chain(backup.gtids, wanted, present, goal)
    if goal is not None and goal <= holds:
        return Plan(backup, chain, outside)
    known = GtidSet()
    for log in wanted:
        known |= log.previous | log.gtids
    lacking = known - holds if target.exactly is None else (known & target.exactly) - holds
    if lacking:
        raise BackupError(_gap(target, lacking, left, present))
    if goal is not None:
        raise BackupError(f"{goal - holds} is in no backup and in no binary log of this timeline")
    return Plan(backup, chain, outside)


def _chain(
    holds: GtidSet, wanted: Sequence[ShippedLog], present: Collection[str], goal: GtidSet | None
) -> tuple[GtidSet, tuple[ShippedLog, ...], list[ShippedLog]]:
    """What is held at the end, the logs that lead there, and those that add something and cannot be applied."""
    queues: dict[str, list[ShippedLog]] = {}
    # The last is the next: a server's log goes on from its log before, so only one of each server comes into question.
    for log in sorted(wanted, key=lambda log: (log.previous.count, log.name), reverse=True):
        queues.setdefault(f"{log.server}/{log.uuid}", []).append(log)
    chain: list[ShippedLog] = []
    while goal is None or not goal <= holds:
        heads = []
        for queue in queues.values():
            while queue and queue[-1].gtids <= holds:
                queue.pop()
            heads += queue[-1:]
        # A server whose data were replaced, by a clone, may have begun another sequence behind one that leads nowhere.
        usable = _usable(heads, holds, present) or _usable(_adding(queues, holds), holds, present)
        if not usable:
            break
        # The members' logs overlap: the one that leads furthest leaves the fewest to fetch.
        log = min(usable, key=lambda log: (-(log.gtids - holds).count, log.first, log.server, log.name))
        holds |= log.gtids
        chain.append(log)
    return holds, tuple(chain), _adding(queues, holds)


def _usable(logs: Iterable[ShippedLog], holds: GtidSet, present: Collection[str]) -> list[ShippedLog]:
    return [log for log in logs if log.previous <= holds and log.stored.key in present]


def _adding(queues: dict[str, list[ShippedLog]], holds: GtidSet) -> list[ShippedLog]:
    return [log for queue in queues.values() for log in queue if log.gtids - holds]


def _common(sets: Sequence[GtidSet]) -> GtidSet:
    common = sets[0] if sets else GtidSet()
    for one in sets[1:]:
        common &= one
    return common


def _within_reach(moment: int, reach: int) -> None:
    if moment > reach:
        raise BackupError(
            f"the bucket reaches {moment_text(reach)}, and no server could tell whether anything was written between "
            f"that and {moment_text(moment)}; choose an earlier moment, or take all there is: --latest"
        )


def _backup(backups: Sequence[Backup], target: Target) -> Backup:
    if not backups:
        raise BackupError("there is no backup in this timeline; make one: .venv/bin/python -m operations backup now")
    able = [backup for backup in backups if holds_nothing_later(backup, target)]
    if not able:
        first = min(backups, key=lambda backup: backup.copied)
        raise BackupError(f"{target} is before the oldest backup, which is of {moment_text(first.copied)} ({first.id})")
    return max(able, key=lambda backup: backup.copied)


def holds_nothing_later(backup: Backup, target: Target) -> bool:
    """Whether the target can be reached from this backup on."""
    if target.moment is not None:
        return backup.copied <= target.moment
    if target.exactly is not None:
        return backup.gtids <= target.exactly
    return target.gtid is None or bool(target.gtid - backup.gtids)


def _before(log: ShippedLog, target: Target) -> bool:
    if target.exactly is not None:
        return bool(log.gtids & target.exactly)
    return bool(log.gtids) and (target.moment is None or log.first <= target.moment)


def _gap(target: Target, lacking: GtidSet, left: Sequence[ShippedLog], present: Collection[str]) -> str:
    gone = sorted(log.stored.key for log in left if log.stored.key not in present)
    blocked = sorted(f"{log.server}/{log.name}" for log in left if log.stored.key in present)
    where = f"missing objects: {', '.join(gone)}" if gone else "no index names the binary log that held them"
    after = f"; cannot be applied without them: {', '.join(blocked[:5])}" if blocked else ""
    return f"there is a gap before {target}: transactions {lacking} cannot be restored ({where}{after})"
