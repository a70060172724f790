"""Figures of drills that were run in the rehearsal: the last ones, as data (measured.json)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "measured.json"
FIGURES = ("write_gap", "read_gap", "failed_reads", "failed_writes")
HEADERS = ("drill", "stack", "runs", "without writes", "without reads", "failed reads", "failed writes", "lost writes")


@dataclass(frozen=True)
class Spread:
    """One figure over several runs, by nearest rank: gaps in seconds, failed requests as their number."""

    p50: float
    p95: float
    worst: float

    def __str__(self) -> str:
        values = (self.p50, self.p95, self.worst)
        # One run, or several that were alike: once says it.
        return " / ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


@dataclass(frozen=True)
class Measured:
    """All runs of one drill on one stack. `lost` counts acknowledged writes that a copy did not have afterwards."""

    drill: str
    stack: str
    edge: str
    date: str
    runs: int
    result: str
    acknowledged: int
    lost: int
    write_gap: Spread
    read_gap: Spread
    failed_reads: Spread
    failed_writes: Spread

    @classmethod
    def of(cls, row: dict[str, Any]) -> Measured:
        """From a row of the file."""
        fields: dict[str, Any] = {key: Spread(**value) if key in FIGURES else value for key, value in row.items()}
        return cls(**fields)


@cache
def measured() -> tuple[Measured, ...]:
    """Every row of the file, as it was shipped."""
    return tuple(Measured.of(row) for row in json.loads(FILE.read_text(encoding="utf-8"))["drills"])


def last(drill: str, stack: str, edge: str, *, only: bool = False) -> Measured:
    """The figures of a drill that `stack` passed, or else a stack with the same edge, or else any stack.

    `only`: of that edge alone. Raises KeyError when there are none.
    """
    found = [
        one for one in measured() if one.drill == drill and one.result == "passed" and (one.edge == edge or not only)
    ]
    if not found:
        raise KeyError(f"measured.json has no figures of {drill} on {edge}")
    # A stack of this name and another edge is somebody's own, and not the one that was measured.
    return max(found, key=lambda one: (one.edge == edge, one.edge == edge and one.stack == stack))


def measured_rows(figures: Iterable[Measured]) -> list[tuple[str, ...]]:
    """One row a drill and stack, as in HEADERS. What a stack cannot survive is marked as such."""
    return [
        (
            one.drill + ("" if one.result == "passed" else f" ({one.result})"),
            one.stack,
            str(one.runs),
            str(one.write_gap),
            str(one.read_gap),
            str(one.failed_reads),
            str(one.failed_writes),
            f"{one.lost} of {one.acknowledged}",
        )
        for one in figures
    ]
