"""The one-shot token and the numbered claims in SSM Parameter Store: the group's only arbiter outside itself.

Below `group_parameters` of database.json (/tripod/{stack}/group), each {"server", "at"}:

- `initialised`: the token, created once in the life of a stack by whoever may bootstrap its group.
- `complete`: a majority of the members holds the group's data.
- `claims/{n}`: created before each time that a group is led, with the "group_name" that it will have, a UUID that was
  never used before; `done/{n}` when that group has a majority.

All are created without Overwrite, which is atomic, and none is ever changed; a stale read only makes a creation
fail. Needs ssm:PutParameter on /tripod/{stack}/group/* and ssm:GetParametersByPath on /tripod/{stack}/group.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws import Client
from .group_decision import Claim, Registry, Token

# A daemon that decides once a second must not hang in a call.
_TIMEOUTS = {"connect_timeout": 3, "read_timeout": 5, "retries": {"total_max_attempts": 2}}

RegistryError = (BotoCoreError, ClientError, ValueError, KeyError)
"""What the calls below raise when the parameter store cannot be asked or holds nonsense."""


class ParameterStore:
    """Reads and creates the group's parameters."""

    def __init__(self, path: str, server: str, region: str, client: Any = None) -> None:
        self._path = path
        self._server = server
        self._ssm = client or Client("ssm", region, **_TIMEOUTS)

    def read(self) -> Registry:
        """Token and latest claim. A claim's age is by AWS's clock: the answer's date less the claim's."""
        found: dict[str, dict[str, Any]] = {}
        ages: dict[str, float] = {}
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(Path=self._path, Recursive=True)
        for page in pages:
            now = _date(page)
            for parameter in page["Parameters"]:
                name = parameter["Name"].removeprefix(self._path + "/")
                found[name] = json.loads(parameter["Value"])
                ages[name] = max(0.0, (now - parameter["LastModifiedDate"]).total_seconds())
        token = Token(found["initialised"]["server"], "complete" in found) if "initialised" in found else None
        number = max((int(name.removeprefix("claims/")) for name in found if name.startswith("claims/")), default=0)
        name = f"claims/{number}"
        if not number:
            return Registry(token)
        done, holder, group_name = f"done/{number}" in found, found[name]["server"], found[name]["group_name"]
        return Registry(token, Claim(number, holder, done, ages[name], group_name))

    def create_token(self) -> bool:
        """Whether this server created it; False when it exists."""
        return self._create("initialised")

    def create_claim(self, number: int) -> bool:
        """Whether this server created it; False when it exists."""
        return self._create(f"claims/{number}", group_name=str(uuid.uuid4()))

    def complete(self, registry: Registry) -> None:
        """A majority holds the data: say so of the token and of the latest claim, where nobody has yet."""
        if registry.token and not registry.token.complete:
            self._create("complete")
        if registry.claim and not registry.claim.done:
            self._create(f"done/{registry.claim.number}")

    def _create(self, name: str, **more: str) -> bool:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"server": self._server, "at": at, **more}, sort_keys=True)
        try:
            self._ssm.put_parameter(Name=f"{self._path}/{name}", Value=text, Type="String", Overwrite=False)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterAlreadyExists":
                raise
            return False
        return True


def _date(page: dict[str, Any]) -> datetime:
    header = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)
