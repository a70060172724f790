"""The one door to AWS: clients with retries, and every refusal translated into words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from operations.errors import translate

# botocore's adaptive mode backs off exponentially (with jitter) and also slows down its own request rate when AWS
# throttles. Ten attempts span about a minute, longer than EC2's and SSM's buckets take to refill.
RETRIES = 10
CONFIG = Config(
    retries={"mode": "adaptive", "total_max_attempts": RETRIES},
    connect_timeout=5,
    read_timeout=30,
    user_agent_extra="tripod",
)


class Aws:
    """AWS as one account in one region. Safe to use from several threads: boto3's clients are, its sessions are not."""

    def __init__(self, region: str | None = None, config: Config = CONFIG) -> None:
        """`region` defaults to the standard AWS environment. Raises RegionError when none is set there either."""
        self._clients: dict[str, Any] = {}
        self._config = config
        self._lock = Lock()
        try:
            # botocore itself reads AWS_DEFAULT_REGION only; everything else of AWS reads AWS_REGION first.
            self._session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        except BotoCoreError as error:
            raise translate(error, "configuring AWS") from error
        if not self._session.region_name:
            raise translate(NoRegionError(), "configuring AWS")

    @property
    def region(self) -> str:
        """Name of the region, such as `eu-central-1`."""
        return str(self._session.region_name)

    @cached_property
    def account(self) -> str:
        """The account's twelve digits."""
        return str(self.call("sts", "get_caller_identity")["Account"])

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One API call, by boto3's name of the operation. Raises OperationError."""
        client = self._client(service)
        try:
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._action(service, operation)) from error
        return answer

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The items under `key` of every page of a paginated call. Raises OperationError."""
        paginator = self._client(service).get_paginator(operation)
        try:
            for page in paginator.paginate(**parameters):
                yield from page.get(key, [])
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._action(service, operation)) from error

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                try:
                    self._clients[service] = self._session.client(service, config=self._config)  # type: ignore[call-overload]
                except BotoCoreError as error:
                    raise translate(error, f"configuring {service}") from error
            return self._clients[service]

    def _action(self, service: str, operation: str) -> str:
        names: dict[str, str] = self._client(service).meta.method_to_api_mapping
        return f"{service}:{names.get(operation, operation)}"
