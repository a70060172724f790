"""What servers say about themselves: the state parameter each one writes, and `tripod status --json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operations.aws import Aws
from operations.command import STDOUT_LIMIT, Runner
from operations.errors import AwsError, CommandFailedError, OperationError, PermissionDeniedError
from operations.fleet import Fleet, FleetServer
from topology.names import bucket, manifest_key, server_state_parameter

# ssm:GetParameters takes at most ten names a call.
_PARAMETERS_PER_CALL = 10

# Seconds that `tripod status --json` may take; it asks systemd and the local mysqld only.
STATUS_TIMEOUT = 30


@dataclass(frozen=True)
class ServerState:
    """The server's own last word on its start or its last apply.

    `step` is bundle, volume, packages, apply, agent or ready. `ok` says that nothing failed so far, not that it is
    done. `digest` is that of the bundle in place, None before the first. `error` says what failed, or at the step
    `ready` what it still waits for. `at` is ISO 8601.
    """

    step: str
    ok: bool
    digest: str | None
    error: str | None
    at: str | None

    @property
    def failed(self) -> bool:
        """Whether a step ended in an error. At the step `ready` a server only says why it is not healthy yet."""
        return not self.ok and self.step != "ready"


@dataclass(frozen=True)
class DatabaseStatus:
    """MySQL as one server sees it. `role` is primary, replica or none; `members` counts the group it sees."""

    role: str
    member_state: str
    writable: bool
    gtid_executed: str
    members: int
    online: int


@dataclass(frozen=True)
class HostStatus:
    """The answer of `tripod status --json`. `digest` is that of the applied bundle, `sha256:<hex>`, or None."""

    server: str
    digest: str | None
    applied_at: str | None
    error: str | None
    units: Mapping[str, str]
    database: DatabaseStatus | None
    healthy: bool
    problems: tuple[str, ...]


def read_states(aws: Aws, fleet: Fleet) -> dict[str, ServerState]:
    """The state parameter of every server that has written one, by name. Raises OperationError."""
    names = {server_state_parameter(fleet.stack, server.name): server.name for server in fleet.servers}
    states: dict[str, ServerState] = {}
    wanted = list(names)
    for start in range(0, len(wanted), _PARAMETERS_PER_CALL):
        answer = aws.call("ssm", "get_parameters", Names=wanted[start : start + _PARAMETERS_PER_CALL])
        for parameter in answer["Parameters"]:
            name = str(parameter["Name"])
            states[names[name]] = _parse_state(name, str(parameter["Value"]))
    return states


def expected_digests(aws: Aws, fleet: Fleet, given: str | None) -> dict[str, str]:
    """The digest that each server should have applied, by name.

    `given` is JSON `{server: digest}` (TRIPOD_EXPECTED_DIGESTS); without it the manifests in the stack's bucket
    are read. Raises OperationError; PermissionDeniedError when the caller may not read the bucket.
    """
    if given is not None:
        found = parse_digests(given)
        for name in found:
            fleet.server(name)
        return found
    where = bucket(fleet.stack, aws.account, aws.region)
    return {server.name: _manifest_digest(aws, where, server.name) for server in fleet.servers}


def desired_digests(aws: Aws, fleet: Fleet, given: str | None) -> tuple[dict[str, str], str | None]:
    """As :func:`expected_digests`; without the permission to read them, none of them and the reason."""
    try:
        return expected_digests(aws, fleet, given), None
    except PermissionDeniedError as error:
        return {}, f"cannot tell whether servers are in sync: {error}"


def host_status(runner: Runner, server: FleetServer, timeout: float = STATUS_TIMEOUT) -> HostStatus:
    """Ask a server for its status. Raises OperationError when it gives none."""
    # Exit code 1 only says that it is not healthy; the answer is complete all the same.
    result = runner.run(server, "tripod status --json", timeout)
    if result.exit_code not in (0, 1):
        result.require("tripod status")
    if result.truncated:
        raise CommandFailedError(
            f"{server.name}: 'tripod status --json' printed {STDOUT_LIMIT} characters or more, which is all that "
            "Systems Manager returns."
        )
    try:
        return _parse_status(json.loads(result.stdout))
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailedError(
            f"{server.name}: 'tripod status --json' did not give a status ({error!r}): {result.complaint}"
        ) from error


def _manifest_digest(aws: Aws, where: str, server: str) -> str:
    key = manifest_key(server)
    try:
        body = aws.call("s3", "get_object", Bucket=where, Key=key)["Body"].read()
        return str(json.loads(body)["digest"])
    except AwsError as error:
        if error.code in ("NoSuchKey", "NoSuchBucket"):
            raise OperationError(
                f"There is no bundle for {server} at s3://{where}/{key}. Run 'pulumi up' for this stack first."
            ) from error
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise OperationError(f"s3://{where}/{key} is not a manifest ({error!r}). Run 'pulumi up' again.") from error


def parse_digests(text: str) -> dict[str, str]:
    """Digests from their JSON. Raises OperationError."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise OperationError(f"TRIPOD_EXPECTED_DIGESTS is not JSON: {error}") from error
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise OperationError('TRIPOD_EXPECTED_DIGESTS must be an object such as {"server-1": "sha256:..."}.')
    return raw


def _parse_state(parameter: str, text: str) -> ServerState:
    try:
        raw: dict[str, Any] = json.loads(text)
        return ServerState(
            step=str(raw["step"]),
            ok=raw["ok"] is True,
            digest=raw.get("digest"),
            error=raw.get("error"),
            at=raw.get("at"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperationError(f"The parameter {parameter} is not a server's state ({error!r}): {text[:200]}") from error


def _parse_status(raw: dict[str, Any]) -> HostStatus:
    database = raw["database"]
    return HostStatus(
        server=str(raw["server"]),
        digest=raw["digest"],
        applied_at=raw.get("applied_at"),
        error=raw.get("error"),
        units={str(name): str(state) for name, state in raw["units"].items()},
        database=None if database is None else _parse_database(database),
        healthy=raw["healthy"] is True,
        problems=tuple(str(problem) for problem in raw["problems"]),
    )


def _parse_database(raw: dict[str, Any]) -> DatabaseStatus:
    return DatabaseStatus(
        # While mysqld is down its server still answers, with null for what it cannot know.
        role=str(raw["role"] or "none"),
        member_state=str(raw["member_state"] or "unknown"),
        writable=raw["writable"] is True,
        gtid_executed=str(raw["gtid_executed"] or ""),
        members=int(raw["members"] or 0),
        online=int(raw["online"] or 0),
    )
