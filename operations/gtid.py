"""Counting transactions in GTID sets, to say how far a replica is behind."""

from __future__ import annotations

import re

_INTERVAL = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?\Z")


def intervals(gtid_set: str) -> dict[str, list[tuple[int, int]]]:
    """`uuid[:tag]` to its intervals, both ends included. Raises ValueError for anything but a GTID set.

    Grammar: MySQL manual, "GTID Sets" (tags since 8.3).
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for part in filter(None, (part.strip() for part in gtid_set.split(","))):
        source, *fields = part.split(":")
        name = source.lower()
        if not fields:
            raise ValueError(f"'{part}' is not part of a GTID set")
        for text in fields:
            match = _INTERVAL.match(text)
            if match:
                first = int(match["first"])
                found.setdefault(name, []).append((first, int(match["last"] or first)))
            elif text.isidentifier():
                name = f"{source.lower()}:{text.lower()}"
            else:
                raise ValueError(f"'{part}' is not part of a GTID set")
    return found


def missing(ahead: str, behind: str) -> int:
    """How many transactions of `ahead` are not in `behind`."""
    total = 0
    have = intervals(behind)
    for name, wanted in intervals(ahead).items():
        total += sum(last - first + 1 for first, last in wanted)
        for first, last in wanted:
            total -= sum(max(0, min(last, b) - max(first, a) + 1) for a, b in have.get(name, []))
    return total
