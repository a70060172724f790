"""GTID sets: which transactions a MySQL server holds.

The text form is MySQL's own (manual, "GTID Sets"): `UUID[:TAG]:FIRST[-LAST][:...]`, several of them separated
by commas. Tags exist from 8.3. The empty text is the empty set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_TAG = re.compile(r"^[a-z_][a-z0-9_]{0,31}$")
_INTERVAL = re.compile(r"^([1-9][0-9]*)(?:-([1-9][0-9]*))?$")

Interval = tuple[int, int]

# So many loose intervals of one source are joined.
LOOSE = 1000


@dataclass(frozen=True)
class GtidSet:
    """An immutable set. `intervals` maps "UUID" or "UUID:TAG" to sorted, disjoint, inclusive intervals."""

    intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Read MySQL's text form, white space allowed. Raises ValueError on anything else."""
        collected: dict[str, list[Interval]] = {}
        for part in filter(None, "".join(text.split()).lower().split(",")):
            words = part.split(":")
            if not _UUID.match(words[0]) or len(words) < 2:
                raise ValueError(f"not a GTID set: {part!r}")
            source = words[0]
            for word in words[1:]:
                interval = _INTERVAL.match(word)
                if interval:
                    first, last = int(interval[1]), int(interval[2] or interval[1])
                    collected.setdefault(source, []).append((first, last))
                elif _TAG.match(word):
                    source = f"{words[0]}:{word}"
                else:
                    raise ValueError(f"not a GTID set: {part!r}")
        return cls._of(collected)

    @classmethod
    def _of(cls, collected: Mapping[str, Iterable[Interval]]) -> GtidSet:
        joined = {source: _joined(intervals) for source, intervals in collected.items()}
        return cls({source: intervals for source, intervals in sorted(joined.items()) if intervals})

    def __str__(self) -> str:
        parts = []
        for source, intervals in self.intervals.items():
            words = [str(first) if first == last else f"{first}-{last}" for first, last in intervals]
            parts.append(":".join([source, *words]))
        return ",".join(parts)

    def __bool__(self) -> bool:
        return bool(self.intervals)

    @property
    def count(self) -> int:
        """How many transactions it has."""
        return sum(last - first + 1 for intervals in self.intervals.values() for first, last in intervals)

    def __or__(self, other: GtidSet) -> GtidSet:
        sources = {*self.intervals, *other.intervals}
        return self._of({s: (*self.intervals.get(s, ()), *other.intervals.get(s, ())) for s in sources})

    def __sub__(self, other: GtidSet) -> GtidSet:
        return self._of({s: _minus(mine, other.intervals.get(s, ())) for s, mine in self.intervals.items()})

    def __and__(self, other: GtidSet) -> GtidSet:
        return self - (self - other)

    def of(self, uuid: str) -> GtidSet:
        """The part that one server, or one group, gave its UUID to, with any tag."""
        return GtidSet({source: those for source, those in self.intervals.items() if source.split(":")[0] == uuid})

    def __le__(self, other: GtidSet) -> bool:
        """Whether every transaction of this set is in `other` (MySQL's GTID_SUBSET)."""
        return not self - other


class Gathering:
    """A set that grows transaction by transaction; what it takes is as much as its intervals, not its transactions."""

    def __init__(self) -> None:
        self._intervals: dict[str, list[Interval]] = {}
        self._join_at = LOOSE

    def add(self, gtid: str) -> None:
        """One more, such as "UUID:5" or "UUID:TAG:5". Raises ValueError on anything else, then or at `whole`."""
        source, _, number = gtid.rpartition(":")
        own, this = self._intervals.setdefault(source, []), int(number)
        if own and own[-1][1] + 1 == this:
            own[-1] = (own[-1][0], this)
            return
        own.append((this, this))
        if len(own) >= self._join_at:
            # Transactions need not be in the order of their numbers: most gaps close again.
            own[:] = _joined(own)
            self._join_at = LOOSE + 2 * len(own)

    def whole(self) -> GtidSet:
        """What was added."""
        return GtidSet.parse(",".join(f"{s}:{a}-{b}" for s, those in self._intervals.items() for a, b in those))


def _joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sort, and join what overlaps or touches. An interval that ends before it begins is empty."""
    result: list[Interval] = []
    for first, last in sorted(interval for interval in intervals if interval[0] <= interval[1]):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def _minus(mine: Iterable[Interval], theirs: Iterable[Interval]) -> list[Interval]:
    result = list(mine)
    for start, end in theirs:
        pieces: list[Interval] = []
        for first, last in result:
            pieces.append((first, min(last, start - 1)))
            pieces.append((max(first, end + 1), last))
        result = list(dict.fromkeys(piece for piece in pieces if piece[0] <= piece[1]))
    return result
