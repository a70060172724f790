"""Which binary logs of a timeline are in the bucket: beside each is an object that says what is in it.

A site that is written to all day closes a log every CLOSE_SECONDS (binlog_ship) on each member: 13,000 a day, several
hundred thousand in the days that the bucket keeps them. To ask S3 for each of those takes an hour and a gigabyte of
memory, to list them a minute. So what a restore does not need is told from the list, which says when each was written.
"""

from __future__ import annotations

from collections.abc import Iterator

from .backup_store import Store
from .binlog import ShippedLog

UPLOAD_SECONDS = 3600.0


def prefix(timeline: int) -> str:
    """Where the binary logs of a timeline are."""
    return f"data/{timeline:04d}/binlogs/"


class BinlogIndex:
    """The logs of one timeline that were shipped from `since` on (seconds since 1970), and the newest of each server.

    A server that was made anew has another UUID, and a newest log under each. These name all that was ever written
    before them. As listed when it was made. Reading raises botocore's errors and BackupError.
    """

    def __init__(self, store: Store, timeline: int, since: float = 0.0) -> None:
        self._store = store
        self.count = 0
        """How many logs the timeline has."""
        self.present: set[str] = set()
        """The keys of the objects that are there: of these logs, and some of others."""
        newest: dict[tuple[str, bool], tuple[float, str]] = {}
        for key, at in store.listing(prefix(timeline)):
            is_index = key.endswith(".json")
            self.count += is_index
            place = key.rpartition("/")[0], is_index
            newest[place] = max(newest.get(place, (at, key)), (at, key))
            # The log itself is written before its index.
            if at >= since - (0.0 if is_index else UPLOAD_SECONDS):
                self.present.add(key)
        self.present |= {key for _, key in newest.values()}

    def logs(self) -> list[ShippedLog]:
        """Read them all."""
        return list(self.each())

    def each(self) -> Iterator[ShippedLog]:
        """Read one after the other: a description of all has no room in a program's memory."""
        keys = sorted(key for key in self.present if key.endswith(".json"))
        return map(ShippedLog.from_json, self._store.read_each(keys))
