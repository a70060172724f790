"""Planned switchover: another member of the group becomes primary, while every write that was acknowledged stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from operations.command import Runner, program
from operations.deadline import Deadline
from operations.errors import CommandFailedError, OperationError
from operations.fleet import Fleet, FleetServer
from operations.gtid import missing
from operations.progress import Progress
from operations.survey import Observation, group_problems, primaries, survey
from topology.names import Role

# Transactions that the target may still have to apply when the hand-over starts. The new primary applies the rest
# before it takes writes, so this bounds the gap: a few hundred small transactions take some ten milliseconds.
QUEUE_LIMIT = 100
CATCH_UP_SECONDS = 60
_GRACE_SECONDS = 30
_POLL_SECONDS = 1.0
_SUBJECT = "switchover"


@dataclass(frozen=True)
class Switchover:
    """What was done. `gap_ms`: from the old primary's first refused write to the new one's role check; None unknown."""

    old: str
    new: str
    seconds: float
    gap_ms: float | None


def switchover(
    runner: Runner, fleet: Fleet, progress: Progress, deadline: Deadline, *, to: str | None, drain: int
) -> Switchover | None:
    """Make `to` (or the best replica) the primary, giving running transactions `drain` seconds (0 to 3600) to end.

    None when `to` is the primary already. Raises OperationError when there is no single healthy primary to take
    from or no replica to give to, when MySQL refuses, or when the group is not healthy again within `deadline`.
    """
    observations = survey(runner, fleet)
    old = _primary(fleet, observations)
    if to is not None and fleet.server(to) == old:
        return None
    new = _target(fleet, observations, old, to)
    before = group_problems(fleet, observations)
    progress.report(_SUBJECT, f"handing over from {old.name} to {new.name}")
    report = _hand_over(runner, old, new, drain)
    progress.report(_SUBJECT, f"MySQL took {report.seconds:.2f} s; looking at the group")

    def settled() -> bool | None:
        seen = survey(runner, fleet)
        # A member that was away before is not this hand-over's doing.
        problems = [problem for problem in group_problems(fleet, seen) if problem not in before]
        if primaries(seen) != (new.name,):
            problems.append(f"{new.name} does not accept writes yet")
        progress.report(_SUBJECT, f"waiting: {'; '.join(problems)}" if problems else f"{new.name} is the one writer")
        return None if problems else True

    if deadline.poll(settled, _POLL_SECONDS) is None:
        standing = progress.standing(_SUBJECT)
        text = standing[0] if standing else "no state"
        raise OperationError(
            f"{old.name} handed over to {new.name}, but the group is not healthy after {deadline.elapsed:.0f} s: {text}"
        )
    return report


def _primary(fleet: Fleet, observations: Mapping[str, Observation]) -> FleetServer:
    if not fleet.with_role(Role.DATABASE):
        raise OperationError(f"Stack '{fleet.stack}' has no database servers.")
    writers = primaries(observations)
    if len(writers) == 1:
        return fleet.server(writers[0])
    if not writers:
        reasons = "; ".join(f"{name}: {problem}" for name, seen in observations.items() for problem in seen.problems)
        raise OperationError(
            "No server accepts writes, so there is no primary to hand over from. "
            f"That is a failover, which the group does by itself. {reasons}".rstrip()
        )
    raise OperationError(f"{' and '.join(writers)} all accept writes. Do not switch over: isolate all but one of them.")


def _target(fleet: Fleet, observations: Mapping[str, Observation], old: FleetServer, to: str | None) -> FleetServer:
    members = [server for server in fleet.with_role(Role.DATABASE) if server != old]
    if to is not None:
        server = fleet.server(to)
        if server not in members:
            raise OperationError(f"{to} is not a member of the database group ({', '.join(m.name for m in members)}).")
        reason = _unfit(observations[to])
        if reason:
            raise OperationError(f"{to} cannot become primary: {reason}.")
        return server
    unfit = {member.name: _unfit(observations[member.name]) for member in members}
    fit = [member for member in members if unfit[member.name] is None]
    if not fit:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unfit.items())
        raise OperationError(f"No replica can become primary: {reasons or 'there is none'}.")
    executed = _executed(observations[old.name])

    def weight(server: FleetServer) -> tuple[bool, int]:
        # Not the server that holds the public address, if there is a choice: losing one host then costs one thing.
        return server.public_address is not None, missing(executed, _executed(observations[server.name]))

    return min(fit, key=weight)


def _executed(seen: Observation) -> str:
    return seen.status.database.gtid_executed if seen.status and seen.status.database else ""


def _unfit(seen: Observation) -> str | None:
    if seen.status is None:
        return seen.trouble or "it gives no status"
    if seen.status.database is None:
        return "it runs no database"
    state = seen.status.database.member_state
    return None if state == "ONLINE" else f"it is {state}, not ONLINE"


def _hand_over(runner: Runner, old: FleetServer, new: FleetServer, drain: int) -> Switchover:
    script = program("switchover", new.name, new.address, str(QUEUE_LIMIT), str(CATCH_UP_SECONDS), str(drain))
    result = runner.run(old, script, CATCH_UP_SECONDS + drain + _GRACE_SECONDS)
    try:
        report = json.loads(result.stdout)
        if report["error"] is not None:
            raise OperationError(f"{old.name} did not hand over to {new.name}: {report['error']}.")
        return Switchover(old.name, new.name, float(report["seconds"]), report["gap_ms"])
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailedError(f"{old.name}: the switchover program failed: {result.complaint}") from error
