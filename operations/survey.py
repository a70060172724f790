"""One look at a whole stack: every server's state and status, and what is wrong with the whole."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from operations.command import Runner
from operations.errors import CommandFailedError, ServerUnreachableError
from operations.fleet import Fleet, FleetServer
from operations.state import HostStatus, host_status
from topology.names import Role

# Run Command calls in flight; more only meets Systems Manager's request rate sooner.
_PARALLEL = 8


@dataclass(frozen=True)
class Observation:
    """What was seen of one server: its status, or why there is none. Exactly one of the two is None.

    `unserved` is why no requests come to it, where somebody asked (operations.targets).
    """

    server: FleetServer
    status: HostStatus | None
    trouble: str | None
    unserved: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with this server by itself; empty when it is healthy."""
        if self.status is None:
            return (self.trouble or "no status", *self.unserved)
        if self.status.healthy:
            return self.unserved
        return (*(self.status.problems or ("not healthy, without saying why",)), *self.unserved)


def observe(runner: Runner, server: FleetServer) -> Observation:
    """Ask one server; a server that does not answer is an observation too."""
    if server.state != "running":
        return Observation(server, None, f"the instance is {server.state}")
    try:
        return Observation(server, host_status(runner, server), None)
    except (ServerUnreachableError, CommandFailedError) as error:
        return Observation(server, None, str(error).removeprefix(f"{server.name}: "))


def survey(runner: Runner, fleet: Fleet) -> dict[str, Observation]:
    """Every server's observation, by name, in the order of the fleet."""
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        observations = pool.map(lambda server: observe(runner, server), fleet.servers)
        return {observation.server.name: observation for observation in observations}


def primaries(observations: Mapping[str, Observation]) -> tuple[str, ...]:
    """Names of the servers that accept writes now. A healthy group has exactly one."""
    return tuple(
        name
        for name, seen in observations.items()
        if seen.status and seen.status.database and seen.status.database.writable
    )


def online_members(observations: Mapping[str, Observation]) -> tuple[str, ...]:
    """Names of the servers that are ONLINE in a group."""
    return tuple(
        name
        for name, seen in observations.items()
        if seen.status and seen.status.database and seen.status.database.member_state == "ONLINE"
    )


def group_problems(fleet: Fleet, observations: Mapping[str, Observation]) -> tuple[str, ...]:
    """What is wrong with the database group as a whole: members not ONLINE, split views, not one writer."""
    members = fleet.with_role(Role.DATABASE)
    problems: list[str] = []
    for member in members:
        status = observations[member.name].status
        database = status.database if status else None
        if database is None:
            problems.append(f"{member.name}: its database gives no state")
        elif database.member_state != "ONLINE":
            problems.append(f"{member.name}: its database is {database.member_state}, not ONLINE")
        elif (database.members, database.online) != (len(members), len(members)):
            problems.append(
                f"{member.name}: sees {database.online} of {database.members} group members ONLINE, "
                f"expected {len(members)}"
            )
    writers = primaries(observations)
    if members and len(writers) != 1:
        problems.append(f"the group has {len(writers)} writers ({', '.join(writers) or 'none'}), expected exactly one")
    return tuple(problems)
