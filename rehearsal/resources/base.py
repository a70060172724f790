"""The seam between the engine and the resource types: :class:`Kind` and the registry of type tokens."""

from __future__ import annotations

import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import boto3
from botocore.config import Config

from rehearsal.shell import RehearsalError

Inputs = dict[str, Any]
Outputs = dict[str, Any]

ACCOUNT_ID = "123456789012"
"""The account of the emulated AWS (moto's default)."""


@dataclass(frozen=True)
class Outcome:
    """What creating a resource gave: its physical id and its outputs (inputs are added by the engine)."""

    id: str
    outputs: Outputs = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Outputs that are secret whatever the inputs were (`result` of a random password, a private key)."""


class Aws:
    """Clients of one emulated region, and what else a resource needs to be made.

    `environment` is what a local command sees: the endpoint, region and (fake) credentials in the variables
    of the AWS SDKs.
    """

    def __init__(self, endpoint: str, region: str, project: Path, say: Callable[[str], None]) -> None:
        self.region = region
        self.project = project
        self.say = say
        self.environment: Mapping[str, str] = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            # No profile of the user may take part: the rehearsal must never reach a real account.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._endpoint = endpoint
        self._session: Any = boto3.session.Session(
            aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=region
        )
        self._clients: dict[str, Any] = {}
        # boto3 clients may be shared by threads, making them may not (boto3 guide, "Multithreading").
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """The boto3 client of `service`."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service,
                    endpoint_url=self._endpoint,
                    config=Config(
                        s3={"addressing_style": "path"},
                        retries={"total_max_attempts": 2},
                        proxies={},
                    ),
                )
            return self._clients[service]

    def arn(self, service: str, resource: str, *, region: bool = True, account: bool = True) -> str:
        """`arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`."""
        return f"arn:aws:{service}:{self.region if region else ''}:{ACCOUNT_ID if account else ''}:{resource}"


class Kind(ABC):
    """One resource type: how to create, update and delete it.

    `replace_on`: inputs that cannot change in place. `taggable`: whether the provider's default tags apply.
    """

    replace_on: ClassVar[frozenset[str]] = frozenset()
    taggable: ClassVar[bool] = False

    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    @abstractmethod
    def create(self, name: str, inputs: Inputs) -> Outcome:
        """Create the resource called `name` in the program."""

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        """Change the resource in place; return the outputs that changed."""
        raise NotImplementedError(f"{type(self).__name__} cannot be updated in place")

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: B027
        """Delete the resource. Nothing to do for what exists only in the state."""

    def must_replace(self, old: Inputs, changed: frozenset[str]) -> bool:  # noqa: ARG002
        """Whether a change of these inputs needs a new resource."""
        return bool(changed & self.replace_on)


class UnknownTypeError(RehearsalError):
    """The program uses a resource type or function that the rehearsal does not know."""


KINDS: dict[str, type[Kind]] = {}
"""Type token of Pulumi -> class."""


def kind(*tokens: str) -> Callable[[type[Kind]], type[Kind]]:
    """Register a class for these type tokens."""

    def register(cls: type[Kind]) -> type[Kind]:
        for token in tokens:
            KINDS[token] = cls
        return cls

    return register


def kind_of(token: str) -> type[Kind]:
    """The class for `token`; :class:`UnknownTypeError` when there is none."""
    try:
        return KINDS[token]
    except KeyError:
        raise UnknownTypeError(
            f"the rehearsal has no resource type {token}: add it under rehearsal/resources/"
        ) from None


def physical_name(name: str, inputs: Inputs, key: str = "name", limit: int = 255) -> str:
    """The name given in the inputs, or one as Pulumi makes it: the logical name and seven random digits."""
    given = inputs.get(key)
    if given:
        return str(given)
    prefix = inputs.get(f"{key}Prefix") or f"{name}-"
    return f"{prefix[: limit - 7]}{secrets.token_hex(4)[:7]}"


def tag_list(inputs: Inputs) -> list[dict[str, str]]:
    """Tags as most AWS calls want them: `[{"Key": ..., "Value": ...}]`."""
    return [{"Key": key, "Value": str(value)} for key, value in (inputs.get("tagsAll") or {}).items()]


def present(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None: boto3 refuses None."""
    return {key: value for key, value in arguments.items() if value is not None}
