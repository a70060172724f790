"""Carrying out drills: one run from a healthy stack to a verdict, and back to a healthy stack."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rehearsal.drills.drill import Drill, Result
from rehearsal.drills.judge import Limits, judge
from rehearsal.drills.outcome import Outcome
from rehearsal.drills.safety import SAFETY, Safety, repair, switch_everything_on, without
from rehearsal.drills.scene import Scene
from rehearsal.drills.stack import Stack
from rehearsal.drills.timeline import timeline
from rehearsal.drills.watch import WARM_UP, watching
from rehearsal.shell import RehearsalError

READY_SECONDS = 240.0
CONTROL_RESTORED = 60.0
"""A control need not wait long for what will not come; what it must fail for shows before."""
BEAT = 1.0
"""Seconds between two looks of a MySQL group at who is silent (xcom_detector.cc). A member that joins sets the beat,
and a run begins soon after one has joined: without `moment` all runs would break something at the same point of it."""


def moment(number: int, repeat: int) -> float:
    """Seconds of a beat after which run `number` of `repeat` begins: the runs are spread over it, each by chance within
    its share."""
    return BEAT * (number - 1 + random.SystemRandom().random()) / repeat


def exercise(stack: Stack, drill: Drill, directory: Path, *, repeat: int = 1, safety: str = "") -> Iterator[Outcome]:
    """Run a drill `repeat` times and yield each outcome; without a safety feature when one is named.

    The files of each run are in a directory of their own below `directory`. Raises RehearsalError when the stack is
    not healthy before a run, or cannot be brought back after one.
    """
    obstacle = drill.obstacle(stack)
    if stack.topology.application:
        obstacle = "the client and the judge know the sample application only, and this stack has its own"
    if safety:
        # What a stack cannot survive anyway shows nothing of the feature.
        obstacle = obstacle or SAFETY[safety].obstacle(stack) or drill.weakness(stack.topology)
        obstacle = obstacle or _not_judged(drill, stack, SAFETY[safety])
    if obstacle:
        yield Outcome(drill.name, drill.what, 1, Result.NOT_POSSIBLE, obstacle, without=safety)
        return
    for number in range(1, repeat + 1):
        stack.wait_whole(READY_SECONDS)
        stack.wait_healthy(READY_SECONDS)
        place = directory / "-".join(filter(None, (drill.name, safety and f"without-{safety}", str(number))))
        yield _run(stack, drill, number, place, safety, WARM_UP + moment(number, repeat))


def _not_judged(drill: Drill, stack: Stack, safety: Safety) -> str:
    """Why the judge could not find the fault of a missing feature on this stack, or nothing."""
    limits = asdict(drill.limits_for(stack.topology))
    figures = [name.replace("_", " ") for name, limit in limits.items() if limit is None]
    return next((f"on this stack {name} are not judged" for name in figures if safety.fault.startswith(name)), "")


def _run(stack: Stack, drill: Drill, number: int, place: Path, safety: str, warm_up: float) -> Outcome:
    trouble: list[str] = []
    weakness = drill.weakness(stack.topology)
    with ExitStack() as features:
        # Undone last first: everything is switched on, gets its feature back, and is repaired where need be.
        features.callback(repair, stack)
        if safety:
            features.enter_context(without(stack, SAFETY[safety]))
        features.callback(switch_everything_on, stack)
        limit = CONTROL_RESTORED if safety else drill.restored_within
        with watching(stack, place, warm_up=warm_up, restored_within=limit) as watch:
            scene = Scene(stack, watch)
            try:
                drill.act(scene)
            except RehearsalError as error:
                trouble.append(str(error).splitlines()[0])
                (place / "trouble.txt").write_text(f"{error}\n")
                watch.mark("not as it must be")
        if watch.record is None:
            raise RehearsalError(f"drill {drill.name} recorded nothing")
        verdict = judge(watch.record, Limits() if weakness else drill.limits_for(stack.topology))
        faults = [*trouble, *verdict.faults]
        result, reason = Result.PASSED, ""
        if faults:
            result, reason = Result.FAILED, "; ".join(faults)
        elif weakness:
            result, reason = Result.CANNOT_SURVIVE, weakness
        zero = next((event.at for event in watch.record.events), watch.record.requests[0].start)
        line = timeline(watch.record, zero)
    return Outcome(drill.name, drill.what, number, result, reason, safety, verdict, line)


def control_holds(outcome: Outcome) -> bool:
    """Whether a run without a safety feature failed, and for the reason that the feature is there for."""
    return outcome.result is Result.FAILED and SAFETY[outcome.without].fault in outcome.reason
