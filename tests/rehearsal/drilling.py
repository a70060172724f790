"""One run of one drill, for the tests of drills."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.exercise import exercise
from rehearsal.drills.judge import Limits
from rehearsal.drills.outcome import Outcome
from rehearsal.drills.stack import Stack


def settings(preset: str) -> str:
    """The stack file of a preset with nothing else set."""
    return f"config:\n  aws:region: eu-central-1\n  tripod:preset: {preset}\n"


def one(stack: Stack, name: str, place: Path, safety: str = "", limits: Limits | None = None) -> Outcome:
    drill = replace(DRILLS[name], limits=limits or DRILLS[name].limits)
    (outcome,) = exercise(stack, drill, place, safety=safety)
    return outcome
