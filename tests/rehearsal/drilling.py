"""One run of one drill, and what the judge says of a watch, for the tests of drills."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.exercise import exercise
from rehearsal.drills.judge import Limits, Verdict, judge
from rehearsal.drills.outcome import Outcome
from rehearsal.drills.stack import Stack
from rehearsal.drills.watch import Watch


def settings(preset: str) -> str:
    """The stack file of a preset with nothing else set."""
    return f"config:\n  aws:region: eu-central-1\n  tripod:preset: {preset}\n"


def one(stack: Stack, name: str, place: Path, safety: str = "", limits: Limits | None = None) -> Outcome:
    drill = replace(DRILLS[name], limits=limits or DRILLS[name].limits)
    (outcome,) = exercise(stack, drill, place, safety=safety)
    return outcome


def verdict_of(watch: Watch, limits: Limits | None = None) -> Verdict:
    """Of a watch that is over; without limits of time or failures unless some are given. A bad one shows journals."""
    assert watch.record is not None
    verdict = judge(watch.record, limits or Limits())
    for kept in [] if verdict.passed else sorted(watch.directory.glob("journal-*.log")):
        print(f"--- {kept.name}", kept.read_text(), sep="\n")
    return verdict
