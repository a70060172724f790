"""What came of a drill: one outcome a run, and the figures of several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rehearsal.drills.drill import Result
from rehearsal.drills.judge import Verdict
from rehearsal.drills.timeline import Timeline

FIGURES = ("write_gap", "read_gap", "failed_reads", "failed_writes")


@dataclass(frozen=True)
class Outcome:
    """One run. `reason` says why it failed, cannot be survived or was not tried; `without` names a feature off."""

    drill: str
    what: str
    number: int
    result: Result
    reason: str = ""
    without: str = ""
    verdict: Verdict | None = None
    timeline: Timeline | None = None

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        verdict = {**asdict(self.verdict), "lost": list(self.verdict.lost)} if self.verdict else None
        timeline = asdict(self.timeline) if self.timeline else None
        return {**asdict(self), "result": str(self.result), "verdict": verdict, "timeline": timeline}


@dataclass(frozen=True)
class Spread:
    """Several runs' values of one figure. Nearest rank: each is a value that was measured."""

    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        ranked = sorted(values)

        def rank(share: float) -> float:
            return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

        return cls(rank(0.5), rank(0.95), ranked[-1])


@dataclass(frozen=True)
class Summary:
    """All runs of one drill."""

    drill: str
    what: str
    runs: tuple[Outcome, ...]

    @property
    def result(self) -> Result:
        """The worst of its runs."""
        order = (Result.FAILED, Result.CANNOT_SURVIVE, Result.NOT_POSSIBLE, Result.PASSED)
        return next(result for result in order if any(run.result is result for run in self.runs))

    @property
    def reason(self) -> str:
        """Of the first run with this result."""
        return next(run.reason for run in self.runs if run.result is self.result)

    @property
    def measured(self) -> tuple[Outcome, ...]:
        """Runs that came to a verdict."""
        return tuple(run for run in self.runs if run.verdict)

    def spread(self, figure: str) -> Spread | None:
        """One figure (of FIGURES) over all runs; None when nothing was measured."""
        values = [float(getattr(run.verdict, figure)) for run in self.measured]
        return Spread.of(values) if values else None

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        spreads = {figure: self.spread(figure) for figure in FIGURES}
        return {
            "drill": self.drill,
            "what": self.what,
            "result": str(self.result),
            "reason": self.reason,
            "figures": {figure: asdict(spread) for figure, spread in spreads.items() if spread},
            "runs": [run.document for run in self.runs],
        }


def summaries(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Outcomes by drill, in their order."""
    names = dict.fromkeys(outcome.drill for outcome in outcomes)
    runs = {name: tuple(one for one in outcomes if one.drill == name) for name in names}
    return [Summary(name, of[0].what, of) for name, of in runs.items()]
