"""Timelines: every restore of a stack begins another history, which goes on from what was restored.

`timelines/NNNN.json` says from where: {"timeline": the one before, "gtids": exactly what was restored from it,
"copied": no commit in it is later (microseconds since 1970), ...}. So a timeline needs no backup of its own to be
restored: what it began with is restored from the one before, and its own binary logs are applied to that.
"""

from __future__ import annotations

import functools
import math
import operator
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from . import backup, binlog_index
from .backup_plan import Backup, Plan, Target, holds_nothing_later, plan
from .backup_store import FIRST_TIMELINE, BackupError, Store, Stored
from .binlog import ShippedLog
from .binlog_index import BinlogIndex
from .gtid import GtidSet

# What the server that made a backup had not applied yet, others may have shipped before. It is less late than this.
LAG_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Leg:
    """What is taken from one timeline on the way to a target: the first leg begins with a backup in the bucket."""

    timeline: int
    plan: Plan
    target: Target


def way(store: Store, target: Target, complete_until: int = 0, number: int | None = None) -> tuple[Leg, ...]:
    """How to reach a target in timeline `number` (the present one): its legs, oldest first.

    `complete_until` as for a plan. Raises what backup_plan.plan raises.
    """
    number = number or store.timeline()
    backups = backup.find(store, number)
    if number > FIRST_TIMELINE and not (backups or store.find(_led(number)) or store.any(binlog_index.prefix(number))):
        # The restore that began it broke before anything ran on it: nothing happened since the one before.
        return way(store, target, complete_until, number - 1)
    began = _beginning(store, number)
    if began is None:
        return (Leg(number, _plan(store, number, backups, target, complete_until), target),)
    parent, root = began
    if not holds_nothing_later(root, target):
        return way(store, target, max(complete_until, root.copied), parent)
    leg = Leg(number, _plan(store, number, [root, *backups], target, complete_until), target)
    if leg.plan.backup is not root:
        return (leg,)
    return (*way(store, Target(exactly=root.gtids), number=parent), leg)


def _plan(store: Store, number: int, backups: Sequence[Backup], target: Target, complete_until: int) -> Plan:
    """Choose from as few logs as need be read: since the backup, if it and they hold all that came before them."""
    able = [one.copied for one in backups if holds_nothing_later(one, target)]
    # Without a backup that is early enough it is refused, whatever logs there are.
    index = BinlogIndex(store, number, since=max(able) / 1e6 - LAG_SECONDS if able else math.inf)
    with suppress(BackupError) if able else nullcontext():
        logs = index.logs()
        found = plan(backups, logs, index.present, target, complete_until)
        known = functools.reduce(operator.or_, (one.gtids for one in logs), found.backup.gtids)
        if all(one.previous - found.outside <= known for one in _earliest(logs)):
            return found
    # It begins from another backup, or lacks something: what is said of that must rest on all logs.
    index = BinlogIndex(store, number)
    return plan(backups, index.logs(), index.present, target, complete_until)


def _earliest(logs: Sequence[ShippedLog]) -> Iterable[ShippedLog]:
    """The first log of each server's every data directory."""
    found = {(log.server, log.uuid): log for log in sorted(logs, key=lambda log: log.previous.count, reverse=True)}
    return found.values()


def begin(store: Store, server: str, restored: dict[str, Any]) -> int:
    """Begin the timeline that goes on from `restored`, which :func:`record` made; its number."""
    return store.begin_timeline({**restored, "server": server, "at": time.time()})


def mark_led(store: Store, server: str) -> None:
    """From now on the present timeline counts, even when nobody has written anything in it."""
    store.create(_led(store.timeline()), {"server": server, "at": time.time()})


def record(legs: tuple[Leg, ...], holds: GtidSet, last: int) -> dict[str, Any]:
    """What the object of a timeline says that goes on from this way's end.

    `last` is when the latest transaction of the logs was committed (microseconds since 1970), 0 when there was none.
    """
    moment = legs[-1].target.moment
    copied = max(last, legs[-1].plan.backup.copied) if moment is None else moment
    return {"timeline": legs[-1].timeline, "gtids": str(holds), "copied": copied}


def _led(number: int) -> str:
    return f"data/claims/led-{number:04d}.json"


def _beginning(store: Store, number: int) -> tuple[int, Backup] | None:
    """The timeline before, and what was restored from it, as a backup without an object.

    None for the first one, and where an earlier version did not write it down.
    """
    raw = store.find(f"timelines/{number:04d}.json")
    if raw is None or "gtids" not in raw:
        return None
    nothing = Stored("", 0, "", ())
    name = f"the beginning of timeline {number}"
    return int(raw["timeline"]), Backup(name, "", "", GtidSet.parse(raw["gtids"]), int(raw["copied"]), nothing, 0)
