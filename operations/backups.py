"""Backups of a stack: which server works on them, and the restore of the whole stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from operations.command import Runner
from operations.deadline import Deadline
from operations.errors import TRANSIENT, OperationError
from operations.fleet import Fleet, FleetServer
from operations.jobs import run_job
from operations.progress import Progress
from operations.survey import group_problems, online_members, primaries, survey
from topology.names import Role

T = TypeVar("T")

_POLL_SECONDS = 1.0
# Closing and sending one log takes seconds; a server that hangs must not keep the restore from beginning.
_FLUSH_SECONDS = 120.0
# Stopping mysqld of a read replica, which may have much to write out, and starting it again.
_RENEW_SECONDS = 300.0


def worker(runner: Runner, fleet: Fleet, name: str | None = None) -> FleetServer:
    """The server called `name`, else a replica that is ONLINE, else the primary, else any database server that runs.

    What is outside the group may hold what the stack's database never had. Raises OperationError when none runs.
    """
    members = [server for server in fleet.with_role(Role.DATABASE) if server.state == "running"]
    if name is not None:
        server = fleet.server(name)
        if server not in members:
            raise OperationError(f"{name} is no running database server ({', '.join(one.name for one in members)}).")
        return server
    if not members:
        raise OperationError(f"Stack '{fleet.stack}' has no running database server.")
    seen = survey(runner, fleet)
    online, writers = online_members(seen), primaries(seen)
    return min(members, key=lambda server: (server.name not in online, server.name in writers))


def flush(runner: Runner, fleet: Fleet, progress: Progress, deadline: Deadline) -> int:
    """Have every database server that runs ship the binary logs that only it may hold.

    Returns until when every commit is known to be in the bucket (microseconds since 1970, the primary's clock), 0 when
    no primary could say. A server that cannot ship is reported: after a loss, the bucket must do.
    """
    running = [server for server in fleet.with_role(Role.DATABASE) if server.state == "running"]

    def one(server: FleetServer) -> int:
        try:
            done = run_job(runner, server, progress, deadline.within(_FLUSH_SECONDS), "flush")
        except OperationError as error:
            progress.report(server.name, f"its last binary logs are not shipped: {error}")
            return 0
        return int(done["complete_until"])

    return max(_at_once(running, one).values(), default=0)


def _at_once(servers: Sequence[FleetServer], one: Callable[[FleetServer], T]) -> dict[str, T]:
    """What `one` returns for each server, by name."""
    with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
        return dict(zip([server.name for server in servers], pool.map(one, servers), strict=True))


@dataclass(frozen=True)
class _Step:
    """A job of a restore after the copy, on `servers` at once. `what` says what it does, with {} for their names."""

    what: str
    servers: Sequence[FleetServer]
    words: tuple[str, ...]

    def run(self, runner: Runner, progress: Progress, deadline: Deadline) -> dict[str, OperationError]:
        """Why it was not done, by server. All have ended then, or the time is up."""

        def one(server: FleetServer) -> OperationError | None:
            try:
                run_job(runner, server, progress, deadline, *self.words)
            except OperationError as error:
                return error
            return None

        return {name: error for name, error in _at_once(self.servers, one).items() if error is not None}

    def said(self, names: Sequence[str] = ()) -> str:
        """What it does, on these servers only; on all by default."""
        return self.what.format(", ".join(names or [server.name for server in self.servers]))


def restore_copy(
    runner: Runner,
    fleet: Fleet,
    progress: Progress,
    deadline: Deadline,
    chosen: FleetServer,
    name: str,
    words: tuple[str, ...],
    *,
    gentle: bool,
) -> dict[str, Any]:
    """Restore into a scratch directory of a server. `words` say to where. Raises OperationError."""
    until = flush(runner, fleet, progress, deadline)
    command = ("restore", "--name", name, "--complete-until", str(until), *words)
    return run_job(runner, chosen, progress, deadline, *command, gentle=gentle)


def renew_read_replicas(runner: Runner, fleet: Fleet, progress: Progress, deadline: Deadline) -> dict[str, str]:
    """Put the data of all read replicas aside, so that each clones what is restored.

    By name, why that was not done ("" where it was): a server that follows the group keeps nobody from using it.
    """

    def one(server: FleetServer) -> str:
        if server.state != "running":
            return f"it is {server.state}"
        within = deadline.within(_RENEW_SECONDS)
        try:
            for command in ("discard", "start"):
                run_job(runner, server, progress, within, command)
        except OperationError as error:
            return str(error)
        return ""

    return _at_once(fleet.with_role(Role.READ_REPLICA), one)


def restore_stack(
    runner: Runner, fleet: Fleet, progress: Progress, deadline: Deadline, chosen: FleetServer, words: tuple[str, ...]
) -> dict[str, Any]:
    """Replace the data of the whole stack. What was there is put aside on each server, not deleted.

    The restore is made and checked beside the running database first: when it fails, nothing has been touched.
    The result has three more keys: `writable_after` and `whole_after`, seconds since the beginning, and `replicas`,
    what became of the read replicas (`renew_read_replicas`). Raises OperationError; whatever it broke at, it can be
    repeated. What follows the copy has as long as `deadline` once more: a copy that takes hours must leave it time, for
    the site is down from then on.
    """
    name = "stack"
    others = [server for server in fleet.with_role(Role.DATABASE) if server != chosen]
    away = [server.name for server in others if server.state != "running"]
    if away:
        raise OperationError(
            f"{', '.join(away)} must run: a member that keeps its old data could come back with it. Nothing was done; "
            f"start it and repeat this command."
        )
    restored = restore_copy(runner, fleet, progress, deadline, chosen, name, words, gentle=False)
    after = deadline.anew()
    # All stop before one has new data: nobody may lead, or join, in between.
    steps = [
        _Step("stop {} and put aside what is there", others, ("discard",)),
        _Step("put the restored data in their place on {}", [chosen], ("install", "--name", name)),
        _Step("have {} begin the group", [chosen], ("lead",)),
        _Step("start {}, to clone it", others, ("start",)),
    ]
    steps = [step for step in steps if step.servers]
    for number, step in enumerate(steps):
        failed = step.run(runner, progress, after)
        if failed:
            left = [step.said([*failed]), *(later.said() for later in steps[number + 1 :]), *_last_steps(fleet)]
            raise OperationError(
                f"{'; '.join(map(str, failed.values()))}. A copy is restored, but not the stack, and the site may be "
                f"down. Left out: {'; '.join(left)}. When no job of it goes on any more, give the command again (if it "
                f"says that /var/lib/tripod/backup/{name} exists on {chosen.name}, remove that)."
            ) from next(iter(failed.values()))

    def whole() -> bool | None:
        try:
            seen = survey(runner, fleet)
        except TRANSIENT as error:
            progress.report("group", f"cannot be seen, trying again: {error}")
            return None
        writers, problems = primaries(seen), group_problems(fleet, seen)
        # The one that leads takes no writes while it is alone.
        if len(writers) == 1:
            restored.setdefault("writable_after", deadline.elapsed)
        progress.report("group", "; ".join(problems) or "whole")
        return None if problems or len(writers) != 1 else True

    if after.poll(whole, _POLL_SECONDS) is None:
        standing = progress.standing("group")
        raise OperationError(
            f"The data are restored, but the group is not whole yet ({standing[0] if standing else 'not seen'}). "
            f"Left out: {'; '.join(_last_steps(fleet))}. When status says that it is whole, do the rest: "
            f"{_rest(fleet, _followers(fleet))}. Or give the command again; after a restore to a moment, what was "
            f"written since is lost then."
        )
    restored["whole_after"] = deadline.elapsed
    restored["replicas"] = renew_read_replicas(runner, fleet, progress, after)
    try:
        run_job(runner, worker(runner, fleet), progress, after, "now")
    except OperationError as error:
        old = {name: reason for name, reason in restored["replicas"].items() if reason}
        also = "".join(f" {name}, a read replica, was not emptied ({reason})." for name, reason in old.items())
        raise OperationError(
            f"The data are restored and all members are ONLINE, but no backup was made since ({error}). Until there is "
            f"one, a restore has to begin from a backup of before and replay more.{also} Do the rest: "
            f"{_rest(fleet, [*old])}"
        ) from error
    return restored


def _last_steps(fleet: Fleet) -> list[str]:
    """What is left when the members have their data."""
    followers = ", ".join(_followers(fleet))
    return [*([f"empty the read replicas ({followers})"] if followers else []), "make a new backup"]


def _followers(fleet: Fleet) -> list[str]:
    return [server.name for server in fleet.with_role(Role.READ_REPLICA)]


def _rest(fleet: Fleet, followers: Sequence[str]) -> str:
    """The commands for that. `followers` are the read replicas that still have the data of before."""
    command = ".venv/bin/python -m operations"
    emptied = f", and for {', '.join(followers)}: {command} runbook --stack {fleet.stack} replica-behind"
    return f"{command} backup now --stack {fleet.stack}{emptied if followers else ''}"
