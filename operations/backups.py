"""Backups of a stack: which server works on them, and the restore of the whole stack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from operations.command import Runner
from operations.deadline import Deadline
from operations.errors import OperationError
from operations.fleet import Fleet, FleetServer
from operations.jobs import run_job
from operations.progress import Progress
from operations.survey import group_problems, primaries, survey
from topology.names import Role

_POLL_SECONDS = 1.0


def worker(runner: Runner, fleet: Fleet, name: str | None = None) -> FleetServer:
    """The server called `name`, else the first database server that runs, a replica before the primary.

    Raises OperationError when there is none.
    """
    members = [server for server in fleet.with_role(Role.DATABASE) if server.state == "running"]
    if name is not None:
        server = fleet.server(name)
        if server not in members:
            raise OperationError(f"{name} is no running database server ({', '.join(one.name for one in members)}).")
        return server
    if not members:
        raise OperationError(f"Stack '{fleet.stack}' has no running database server.")
    writers = primaries(survey(runner, fleet))
    return next((server for server in members if server.name not in writers), members[0])


def _each(runner: Runner, servers: list[FleetServer], progress: Progress, deadline: Deadline, command: str) -> None:
    """The same on all at once. Raises OperationError when it failed on one, after all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
        jobs = [pool.submit(run_job, runner, server, progress, deadline, command) for server in servers]
    for job in jobs:
        job.result()


def restore_stack(
    runner: Runner, fleet: Fleet, progress: Progress, deadline: Deadline, chosen: FleetServer, words: tuple[str, ...]
) -> dict[str, Any]:
    """Replace the data of the whole stack. What was there is put aside on each server, not deleted.

    The restore is made and checked beside the running database first: when it fails, nothing has been touched.
    Raises OperationError.
    """
    name = "stack"
    restored = run_job(runner, chosen, progress, deadline, "restore", "--name", name, *words)
    others = [server for server in fleet.with_role(Role.DATABASE) if server != chosen]
    away = [server.name for server in others if server.state != "running"]
    if away:
        raise OperationError(
            f"{', '.join(away)} must run: a member that keeps its old data could come back with it. Start it, then "
            f"remove {restored['directory']} on {chosen.name} and repeat this command."
        )
    # All stop before one has new data: nobody may lead, or join, in between.
    _each(runner, others, progress, deadline, "discard")
    run_job(runner, chosen, progress, deadline, "install", "--name", name)
    run_job(runner, chosen, progress, deadline, "lead")
    _each(runner, others, progress, deadline, "start")

    def whole() -> bool | None:
        seen = survey(runner, fleet)
        problems = group_problems(fleet, seen)
        progress.report("group", "; ".join(problems) or "whole")
        return None if problems or len(primaries(seen)) != 1 else True

    if deadline.poll(whole, _POLL_SECONDS) is None:
        raise OperationError("The data are restored, but the group is not whole yet: see status.")
    # The new timeline has no backup of its own yet.
    run_job(runner, worker(runner, fleet), progress, deadline, "now")
    return restored
