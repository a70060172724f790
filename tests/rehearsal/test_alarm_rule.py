"""The alarms decide as the tables of the CloudWatch user guide do ("Configuring how alarms treat missing data")."""

from __future__ import annotations

import pytest

from rehearsal.alarm_rule import AlarmRule, State

OK, ALARM, NONE = State.OK, State.ALARM, State.INSUFFICIENT_DATA
KEEP = None
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")

# Five periods, the oldest first: 0 is within the threshold, X beyond it, - missing. Then one result a treatment.
THREE_OF_THREE = [
    ("0-X-X", (OK, OK, OK, OK)),
    ("----0", (OK, OK, OK, OK)),
    ("-----", (NONE, KEEP, ALARM, OK)),
    ("0XX-X", (ALARM, ALARM, ALARM, ALARM)),
    ("--X--", (ALARM, KEEP, ALARM, OK)),
]
TWO_OF_THREE = [
    ("0-X-X", (ALARM, ALARM, ALARM, ALARM)),
    ("00X0X", (ALARM, ALARM, ALARM, ALARM)),
    ("0-X--", (OK, OK, ALARM, OK)),
    ("----0", (OK, OK, ALARM, OK)),
    ("---X-", (ALARM, KEEP, ALARM, OK)),
]
CASES = [
    (needed, text, treatment, wanted)
    for needed, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for text, row in table
    for treatment, wanted in zip(TREATMENTS, row, strict=True)
]


@pytest.mark.parametrize("needed, text, treatment, wanted", CASES)
def test_it_decides_as_the_guide_says(needed: int, text: str, treatment: str, wanted: State | None) -> None:
    rule = AlarmRule("Maximum", "GreaterThanThreshold", 0, count=3, needed=needed, missing=treatment)
    assert rule.span == len(text)
    values = {"0": [0.0], "X": [1.0], "-": []}
    assert rule.decide([values[one] for one in text]) is wanted


@pytest.mark.parametrize(
    "statistic, wanted", [("Maximum", 3), ("Minimum", 1), ("Sum", 6), ("Average", 2), ("SampleCount", 3)]
)
def test_a_period_is_judged_by_its_statistic(statistic: str, wanted: float) -> None:
    for threshold, beyond in ((wanted, True), (wanted + 0.5, False)):
        rule = AlarmRule(statistic, "GreaterThanOrEqualToThreshold", threshold)
        assert rule.breaches([1.0, 2.0, 3.0]) is beyond


@pytest.mark.parametrize(
    "comparison, below, at, above",
    [
        ("GreaterThanThreshold", False, False, True),
        ("GreaterThanOrEqualToThreshold", False, True, True),
        ("LessThanThreshold", True, False, False),
        ("LessThanOrEqualToThreshold", True, True, False),
    ],
)
def test_comparisons(comparison: str, below: bool, at: bool, above: bool) -> None:
    rule = AlarmRule("Maximum", comparison, 1)
    assert [rule.breaches([value]) for value in (0.0, 1.0, 2.0)] == [below, at, above]
