"""Rolling a new bundle out: one server after another, the primary last, each healthy before the next is touched."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operations.command import CommandResult, Runner
from operations.deadline import Deadline
from operations.errors import CommandFailedError, OperationError, ServerUnreachableError
from operations.fleet import Fleet, FleetServer
from operations.progress import Progress
from operations.survey import Observation, observe, primaries, survey
from operations.targets import Targets
from topology.names import Role

# Fetching, checking and swapping takes seconds; a restarted member that has to clone its data takes minutes.
APPLY_SECONDS = 600
HEALTHY_SECONDS = 600

# `tripod apply` on a server: another apply holds its lock (sysexits.h, EX_TEMPFAIL).
EXIT_LOCKED = 75

_POLL_SECONDS = 2.0


class RolloutStoppedError(OperationError):
    """A server did not take its bundle; those after it were left as they were. `server` is its name."""

    def __init__(self, server: str, why: str, untouched: Iterable[str]) -> None:
        self.server = server
        self.untouched = tuple(untouched)
        rest = f" Not touched: {', '.join(self.untouched)}." if self.untouched else ""
        super().__init__(f"Roll-out stopped at {server}: {why}{rest}")


@dataclass(frozen=True)
class Rollout:
    """Applies bundles to servers of `fleet` until `deadline`. `targets` say when the world reaches one again."""

    runner: Runner
    fleet: Fleet
    targets: Targets
    progress: Progress
    deadline: Deadline

    def run(self, servers: Iterable[FleetServer], expected: Mapping[str, str]) -> tuple[str, ...]:
        """Apply on `servers`; `expected` are their digests where known. Returns their names in the order taken.

        Raises RolloutStoppedError at the first server that fails or does not become healthy.
        """
        wanted = {server.name for server in servers}
        if not wanted:
            return ()
        order = [server for server in in_order(self.fleet, survey(self.runner, self.fleet)) if server.name in wanted]
        for position, server in enumerate(order):
            untouched = [later.name for later in order[position + 1 :]]
            self._apply(server, expected.get(server.name), untouched)
        return tuple(server.name for server in order)

    def _apply(self, server: FleetServer, digest: str | None, untouched: list[str]) -> None:
        self.progress.report(server.name, f"applying {short(digest)}" if digest else "applying")
        try:
            self._run(server, f"tripod apply --expect {shlex.quote(digest)}" if digest else "tripod apply")
        except (CommandFailedError, ServerUnreachableError) as error:
            raise RolloutStoppedError(server.name, str(error).removeprefix(f"{server.name}: "), untouched) from error
        deadline = self.deadline.within(HEALTHY_SECONDS)
        if deadline.poll(lambda: self._settled(server, digest), _POLL_SECONDS) is None:
            standing = self.progress.standing(server.name)
            text = standing[0] if standing else "it gave no status"
            why = f"not healthy {deadline.elapsed:.0f} s after applying: {text}."
            raise RolloutStoppedError(server.name, why, untouched)
        self.progress.report(server.name, "applied and healthy")

    def _run(self, server: FleetServer, command: str) -> None:
        deadline = self.deadline.within(APPLY_SECONDS)

        def attempt() -> CommandResult | None:
            result = self.runner.run(server, command, max(1.0, deadline.remaining))
            if result.exit_code != EXIT_LOCKED:
                return result
            self.progress.report(server.name, "waiting for another apply on this server")
            return None

        result = deadline.poll(attempt, _POLL_SECONDS)
        if result is None:
            raise CommandFailedError(f"{server.name}: another apply held its lock for {deadline.elapsed:.0f} s.")
        result.require("tripod apply")

    def _settled(self, server: FleetServer, digest: str | None) -> bool | None:
        seen = observe(self.runner, server)
        problems = list(seen.problems)
        if seen.status is not None:
            if digest is not None and seen.status.digest != digest:
                problems.append(f"it has applied {short(seen.status.digest)}, not {short(digest)}")
            # The next server may only go when this one carries the group again.
            database = seen.status.database
            if server.has(Role.DATABASE) and (database is None or database.member_state != "ONLINE"):
                state = database.member_state if database else "unknown"
                problems.append(f"its database is {state}, not ONLINE")
        if not problems:
            # HAProxy serves again, but the load balancer before it believes so only some checks later.
            problems += self.targets.problems(server)
        if not problems:
            return True
        self.progress.report(server.name, f"waiting after applying: {'; '.join(problems)}")
        return None


def in_order(fleet: Fleet, observations: Mapping[str, Observation]) -> tuple[FleetServer, ...]:
    """The servers in the order of a roll-out, the one with least to lose first.

    Servers without a load balancer, then load balancers (the one that holds a public address after the others),
    and the server that is primary last of all, so that the group changes its primary at most once.
    """
    writers = primaries(observations)

    def weight(server: FleetServer) -> tuple[bool, bool, bool]:
        balancer = server.has(Role.LOAD_BALANCER)
        return server.name in writers, balancer and server.public_address is not None, balancer

    return tuple(sorted(fleet.servers, key=weight))


def short(digest: str | None) -> str:
    """A digest short enough for a line: `sha256:0123456789ab`."""
    return "no bundle" if digest is None else digest[: len("sha256:") + 12]
