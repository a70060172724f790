"""Rolling a new bundle out: one server after another, the primary last, each healthy before the next is touched.

An apply may restart mysqld. So a member of the database group waits until all others are ONLINE: one that is being
cloned is healthy to nobody's harm, but two away are the end of writes. Who is away itself gets its bundle first and at
once, since that may be what brings it back; and where nobody takes writes anyway, nothing is waited for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operations.command import CommandResult, Runner
from operations.deadline import Deadline
from operations.errors import CommandFailedError, OperationError, ServerUnreachableError
from operations.fleet import Fleet, FleetServer
from operations.progress import Progress
from operations.survey import Observation, observe, online_members, primaries, survey
from operations.targets import Targets
from topology.names import Role

# Fetching, checking and swapping takes seconds; a restarted member that has to clone its data takes minutes.
APPLY_SECONDS = 600
HEALTHY_SECONDS = 600

# The primary fetches the passwords of the accounts and lets MySQL take them: half a minute at most (host.passwords).
PASSWORDS_SECONDS = 60

# A group without a writer and without a majority for longer than this is down. A failover is over sooner (ADR 1).
OUTAGE_SECONDS = 60

# `tripod apply` on a server: another apply holds its lock (sysexits.h, EX_TEMPFAIL).
EXIT_LOCKED = 75
# A command that the server's programs do not know yet (argparse).
EXIT_USAGE = 2

_POLL_SECONDS = 2.0


class RolloutStoppedError(OperationError):
    """A server did not take its bundle; those after it were left as they were. `server` is its name.

    `culprit` is the server to look at: another one, when that is what was waited for.
    """

    def __init__(self, server: str, why: str, untouched: Iterable[str], culprit: str | None = None) -> None:
        self.server = server
        self.culprit = culprit or server
        self.untouched = tuple(untouched)
        rest = f" Not touched: {', '.join(self.untouched)}." if self.untouched else ""
        super().__init__(f"Roll-out stopped at {server}: {why.removesuffix('.')}.{rest}")


@dataclass(frozen=True)
class Rollout:
    """Applies bundles to servers of `fleet` until `deadline`. `targets` say when the world reaches one again.

    Without `patience` it does not wait for members of the database group that are away.
    """

    runner: Runner
    fleet: Fleet
    targets: Targets
    progress: Progress
    deadline: Deadline
    patience: bool = True

    def run(self, servers: Iterable[FleetServer], expected: Mapping[str, str]) -> tuple[str, ...]:
        """Apply on `servers`; `expected` are their digests where known. Returns their names in the order taken.

        Raises RolloutStoppedError at the first server that fails or does not become healthy.
        """
        wanted = {server.name for server in servers}
        if not wanted:
            return ()
        seen = survey(self.runner, self.fleet)
        order = [server for server in in_order(self.fleet, seen) if server.name in wanted]
        self._renew_passwords(primaries(seen), [server.name for server in order])
        for position, server in enumerate(order):
            untouched = [later.name for later in order[position + 1 :]]
            if self.patience and server.has(Role.DATABASE):
                self._await_others(server, untouched)
            self._apply(server, expected.get(server.name), untouched)
        return tuple(server.name for server in order)

    def _renew_passwords(self, writers: tuple[str, ...], untouched: list[str]) -> None:
        """Let MySQL take passwords that have changed before any server uses them; each apply fetches the newest.

        Without a writer nobody can: the members that come back do it. Raises RolloutStoppedError.
        """
        if len(writers) != 1:
            return
        server = self.fleet.server(writers[0])
        try:
            result = self._run(server, "tripod passwords", PASSWORDS_SECONDS)
            if result.exit_code == EXIT_USAGE:
                self.progress.report(server.name, "its programs are older and cannot take changed passwords first")
                return
            result.require("tripod passwords")
        except (CommandFailedError, ServerUnreachableError) as error:
            why = str(error).removeprefix(f"{server.name}: ")
            if self.patience:
                raise RolloutStoppedError(server.name, why, untouched) from error
            self.progress.report(server.name, f"goes on without changed passwords: {why}")

    def _await_others(self, server: FleetServer, untouched: list[str]) -> None:
        """Return when the group can spare `server`. Raises RolloutStoppedError when it cannot until the deadline."""
        members = Fleet(self.fleet.stack, self.fleet.with_role(Role.DATABASE))
        away: dict[str, str] = {}
        since: float | None = None

        def spared() -> bool | None:
            nonlocal away, since
            seen = survey(self.runner, members)
            status = seen[server.name].status
            database = status.database if status else None
            if database is None or database.member_state != "ONLINE":
                return True
            away = _away(server, members, seen)
            if not away:
                return True
            # Its own look at the group, too: the writer may be a server that nobody can ask.
            down = not primaries(seen) and 2 * database.online <= len(members.servers)
            since = (since if since is not None else self.deadline.elapsed) if down else None
            if since is not None and self.deadline.elapsed - since >= OUTAGE_SECONDS:
                return True
            self.progress.report(server.name, f"waiting before applying: {'; '.join(away.values())}")
            return None

        if self.deadline.poll(spared, _POLL_SECONDS) is None:
            why = (
                f"{'; '.join(away.values())} (after {self.deadline.elapsed:.0f} s). Applying may restart its database, "
                f"and the group cannot spare it. Bring {', '.join(away)} back, or use 'apply --without-waiting' when "
                f"that is not possible before."
            )
            raise RolloutStoppedError(server.name, why, [server.name, *untouched], next(iter(away)))

    def _apply(self, server: FleetServer, digest: str | None, untouched: list[str]) -> None:
        self.progress.report(server.name, f"applying {short(digest)}" if digest else "applying")
        try:
            command = f"tripod apply --expect {shlex.quote(digest)}" if digest else "tripod apply"
            self._run(server, command, APPLY_SECONDS).require("tripod apply")
        except (CommandFailedError, ServerUnreachableError) as error:
            raise RolloutStoppedError(server.name, str(error).removeprefix(f"{server.name}: "), untouched) from error
        deadline = self.deadline.within(HEALTHY_SECONDS)
        if deadline.poll(lambda: self._settled(server, digest), _POLL_SECONDS) is None:
            standing = self.progress.standing(server.name)
            text = standing[0] if standing else "it gave no status"
            why = f"not healthy {deadline.elapsed:.0f} s after applying: {text}."
            raise RolloutStoppedError(server.name, why, untouched)
        self.progress.report(server.name, "applied and healthy")

    def _run(self, server: FleetServer, command: str, seconds: float) -> CommandResult:
        """Run a command that takes the server's lock of applies, when that is free."""
        deadline = self.deadline.within(seconds)

        def attempt() -> CommandResult | None:
            result = self.runner.run(server, command, max(1.0, deadline.remaining))
            if result.exit_code != EXIT_LOCKED:
                return result
            self.progress.report(server.name, "waiting for another apply on this server")
            return None

        result = deadline.poll(attempt, _POLL_SECONDS)
        if result is None:
            raise CommandFailedError(f"{server.name}: another apply held its lock for {deadline.elapsed:.0f} s.")
        return result

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

    Members that are away from the database group; servers without a load balancer; load balancers (the one that holds
    a public address after the others); and the server that is primary last of all, so that the group changes its
    primary at most once.
    """
    writers, online = primaries(observations), online_members(observations)

    def weight(server: FleetServer) -> tuple[bool, bool, bool, bool]:
        balancer = server.has(Role.LOAD_BALANCER)
        # One that says nothing is not known to be away, and may not be able to apply anything either.
        away = server.has(Role.DATABASE) and server.name not in online and observations[server.name].status is not None
        return not away, server.name in writers, balancer and server.public_address is not None, balancer

    return tuple(sorted(fleet.servers, key=weight))


def _away(server: FleetServer, members: Fleet, seen: Mapping[str, Observation]) -> dict[str, str]:
    """Members other than `server` that are not ONLINE, and how they are said to be."""
    own = seen[server.name].status
    reaches = own.database.online if own and own.database else 0
    online, found = online_members(seen), {}
    for name, other in seen.items():
        if name == server.name or name in online:
            continue
        if other.status is None and reaches >= len(members.servers):
            # Nobody can ask it, but its group has it.
            continue
        state = other.status.database.member_state if other.status and other.status.database else "unknown"
        why = f", {other.trouble}" if other.trouble else ""
        found[name] = f"the database of {name} is {state}, not ONLINE{why}"
    return found


def short(digest: str | None) -> str:
    """A digest short enough for a line: `sha256:0123456789ab`."""
    return "no bundle" if digest is None else digest[: len("sha256:") + 12]
