"""The one-shot token and the numbered claims in SSM Parameter Store: the group's only arbiter outside itself.

`{path}/initialised`: {"server", "group_name", "at", "complete"}; created once in the life of a stack.
`{path}/claims/{n}`: {"server", "at", "done"}; created before each time that a group is led.
Creation is PutParameter without Overwrite, which is atomic; a stale read only makes a creation fail. Needs
ssm:PutParameter and ssm:GetParametersByPath below the path.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .group_decision import Claim, Registry, Token

# A daemon that decides once a second must not hang in a call.
_TIMEOUTS = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})

RegistryError = (BotoCoreError, ClientError, ValueError, KeyError)
"""What the calls below raise when the parameter store cannot be asked or holds nonsense."""


class ParameterStore:
    """Reads and creates the group's parameters."""

    def __init__(self, path: str, server: str, group_name: str, region: str, client: Any = None) -> None:
        self._path = path
        self._server = server
        self._group_name = group_name
        self._ssm = client or boto3.client("ssm", region_name=region, config=_TIMEOUTS)

    def read(self) -> Registry:
        """Token and latest claim. A claim's age is by AWS's clock: the answer's date less the claim's."""
        token: Token | None = None
        claim: Claim | None = None
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(Path=self._path, Recursive=True)
        for page in pages:
            now = _date(page)
            for parameter in page["Parameters"]:
                kind, _, number = parameter["Name"].removeprefix(self._path + "/").partition("/")
                value = json.loads(parameter["Value"])
                if kind == "initialised":
                    token = Token(value["server"], bool(value["complete"]))
                elif kind == "claims" and (claim is None or int(number) > claim.number):
                    age = max(0.0, (now - parameter["LastModifiedDate"]).total_seconds())
                    claim = Claim(int(number), value["server"], bool(value["done"]), age)
        return Registry(token, claim)

    def create_token(self) -> bool:
        """Whether this server created it; False when it exists."""
        return self._create("initialised", {"group_name": self._group_name, "complete": False})

    def create_claim(self, number: int) -> bool:
        """Whether this server created it; False when it exists."""
        return self._create(f"claims/{number}", {"done": False})

    def complete(self, registry: Registry) -> None:
        """A majority holds the data: mark the token complete and the latest claim done."""
        if registry.token and not registry.token.complete:
            value = {"server": registry.token.server, "group_name": self._group_name, "complete": True}
            self._put("initialised", value, overwrite=True)
        if registry.claim and not registry.claim.done:
            value = {"server": registry.claim.server, "done": True}
            self._put(f"claims/{registry.claim.number}", value, overwrite=True)

    def _create(self, name: str, value: dict[str, Any]) -> bool:
        try:
            self._put(name, {"server": self._server, **value}, overwrite=False)
        except self._ssm.exceptions.ParameterAlreadyExists:
            return False
        return True

    def _put(self, name: str, value: dict[str, Any], *, overwrite: bool) -> None:
        text = json.dumps({**value, "at": datetime.now(UTC).isoformat(timespec="seconds")}, sort_keys=True)
        self._ssm.put_parameter(Name=f"{self._path}/{name}", Value=text, Type="String", Overwrite=overwrite)


def _date(page: dict[str, Any]) -> datetime:
    header = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)
