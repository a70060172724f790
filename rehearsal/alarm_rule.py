"""What a CloudWatch alarm decides, as the CloudWatch user guide has it: no clock, no emulated AWS, only values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

EXTRA_PERIODS = 2
"""CloudWatch looks back further than `EvaluationPeriods`, to find values instead of missing ones. AWS promises no
number; the tables of "Configuring how CloudWatch alarms treat missing data" look at five periods for three."""

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": len,
}


class State(StrEnum):
    """`StateValue` of an alarm."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True)
class AlarmRule:
    """The part of an alarm that decides. `count` of periods, `needed` of which breach; `period` in seconds.

    `missing` is `TreatMissingData`: breaching, notBreaching, ignore or missing.
    """

    statistic: str
    comparison: str
    threshold: float
    period: int = 60
    count: int = 1
    needed: int = 1
    missing: str = "missing"

    @property
    def span(self) -> int:
        """Periods that are looked at."""
        return self.count + EXTRA_PERIODS

    def breaches(self, values: Sequence[float]) -> bool | None:
        """Whether the values of one period are beyond the threshold; None when there are none."""
        if not values:
            return None
        return COMPARISONS[self.comparison](STATISTICS[self.statistic](values), self.threshold)

    def decide(self, periods: Sequence[Sequence[float]]) -> State | None:
        """The state after these periods (values of each, the oldest first, `span` of them); None keeps the one it has.

        As long as there are `count` real values, the newest of them decide and none is filled in. With fewer, the
        missing are filled in as `missing` says, no more than it takes.
        """
        found = [self.breaches(values) for values in periods]
        real = [one for one in found if one is not None]
        if len(real) >= self.count:
            return self._of(sum(real[-self.count :]))
        filled = self.count - len(real)
        match self.missing:
            case "breaching":
                return self._of(sum(real) + filled)
            case "notBreaching":
                return self._of(sum(real))
            case "ignore":
                return State.OK if False in real else None
            case _:
                return self._of_few(found, real)

    def _of(self, breaching: int) -> State:
        return State.ALARM if breaching >= self.needed else State.OK

    def _of_few(self, found: Sequence[bool | None], real: Sequence[bool]) -> State:
        if not real:
            return State.INSUFFICIENT_DATA
        if False in real:
            return self._of(sum(real))
        # Every value breaches, and the oldest is long enough ago that a value for each period could not change it.
        age = len(found) - found.index(True)
        return State.ALARM if age >= self.needed else State.INSUFFICIENT_DATA
