"""A stack's servers, found by their tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from operations.aws import Aws
from operations.errors import OperationError, ServerNotFoundError, StackNotFoundError
from topology.names import TAG_ROLES, TAG_SERVER, TAG_STACK, Role

# Not the terminated ones, which stay visible for about an hour, nor those on their way there: a server that is
# being re-created must not be found twice.
_ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class FleetServer:
    """One EC2 instance of a stack. `state` is EC2's (`running`, `stopped`, ...); `public_address` None without one."""

    name: str
    instance_id: str
    roles: tuple[Role, ...]
    zone: str
    address: str
    public_address: str | None
    state: str

    def has(self, role: Role) -> bool:
        """Whether this server has `role`."""
        return role in self.roles


@dataclass(frozen=True)
class Fleet:
    """The servers of one stack, ordered by name, `server-2` before `server-10`."""

    stack: str
    servers: tuple[FleetServer, ...]

    def server(self, name: str) -> FleetServer:
        """The server called `name`. Raises ServerNotFoundError."""
        for server in self.servers:
            if server.name == name:
                return server
        raise ServerNotFoundError(self.stack, name, tuple(s.name for s in self.servers))

    def with_role(self, role: Role) -> tuple[FleetServer, ...]:
        """Servers that have `role`."""
        return tuple(server for server in self.servers if server.has(role))


def find_fleet(aws: Aws, stack: str) -> Fleet:
    """The servers of `stack`. Raises StackNotFoundError, naming the stacks that are there."""
    filters = [
        {"Name": f"tag:{TAG_STACK}", "Values": [stack]},
        {"Name": "instance-state-name", "Values": list(_ALIVE)},
    ]
    servers = [_server(instance) for instance in _instances(aws, filters)]
    if not servers:
        raise StackNotFoundError(stack, aws.region, _stacks(aws))
    servers.sort(key=lambda server: _natural(server.name))
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            ids = ", ".join(s.instance_id for s in servers if s.name == name)
            raise OperationError(f"Stack '{stack}' has two servers called '{name}' ({ids}). Terminate the stray one.")
    return Fleet(stack, tuple(servers))


def _instances(aws: Aws, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reservations = aws.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def _stacks(aws: Aws) -> tuple[str, ...]:
    filters = [
        {"Name": "tag-key", "Values": [TAG_STACK]},
        {"Name": "instance-state-name", "Values": list(_ALIVE)},
    ]
    return tuple(sorted({_tags(instance)[TAG_STACK] for instance in _instances(aws, filters)}))


def _tags(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def _server(instance: dict[str, Any]) -> FleetServer:
    tags = _tags(instance)
    instance_id = str(instance["InstanceId"])
    name = tags.get(TAG_SERVER)
    if not name:
        raise OperationError(f"Instance {instance_id} has the tag {TAG_STACK} but no {TAG_SERVER}. Restore its tags.")
    try:
        roles = tuple(Role(role) for role in tags.get(TAG_ROLES, "").split())
    except ValueError as error:
        known = ", ".join(Role)
        raise OperationError(f"{name} ({instance_id}): {error} in its tag {TAG_ROLES}. Known: {known}.") from error
    return FleetServer(
        name=name,
        instance_id=instance_id,
        roles=roles,
        zone=str(instance["Placement"]["AvailabilityZone"]),
        address=str(instance.get("PrivateIpAddress", "")),
        public_address=instance.get("PublicIpAddress"),
        state=str(instance["State"]["Name"]),
    )


def _natural(name: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"(.*?)(\d+)", name)
    return (match[1], int(match[2]), name) if match else (name, -1, name)
