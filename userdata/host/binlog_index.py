"""Which binary logs of a timeline are in the bucket: beside each is an object that says what is in it.

A site that is written to all day closes a log every CLOSE_SECONDS (binlog_ship) on each member: 13,000 a day, several
hundred thousand in the days that the bucket keeps them. To ask S3 for each of those takes an hour, to list them a
minute. So what a restore does not need is told from the list, which says when each was written.
"""

from __future__ import annotations

from collections.abc import Iterable

from .backup_store import Store
from .binlog import ShippedLog


class BinlogIndex:
    """The logs of one timeline, as listed when it was made. Reading raises botocore's errors and BackupError."""

    def __init__(self, store: Store, timeline: int) -> None:
        self._store = store
        listed = store.listing(f"data/{timeline:04d}/binlogs/")
        self.present = frozenset(listed)
        """The keys of all objects."""
        self._written = {key: at for key, at in listed.items() if key.endswith(".json")}

    def __len__(self) -> int:
        return len(self._written)

    def all(self) -> list[ShippedLog]:
        """Every log."""
        return self._read(self._written)

    def newest(self) -> list[ShippedLog]:
        """The last log of each server's every data directory. They name all that was ever written before them."""
        return self._read(self._newest())

    def since(self, moment: float) -> list[ShippedLog]:
        """The logs that were shipped from `moment` on (seconds since 1970), and the newest ones."""
        return self._read({key for key, at in self._written.items() if at >= moment} | self._newest())

    def _newest(self) -> set[str]:
        last: dict[str, str] = {}
        for key in sorted(self._written, key=lambda key: (self._written[key], key)):
            last[key.rpartition("/")[0]] = key
        return set(last.values())

    def _read(self, keys: Iterable[str]) -> list[ShippedLog]:
        return [ShippedLog.from_json(raw) for raw in self._store.read_all(sorted(keys))]
