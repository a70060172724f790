"""Clients of AWS that come by their credentials later when the instance metadata service did not answer at first.

botocore asks that service once and waits a second (AWS SDKs reference guide, "IMDS credential provider"), and a client
keeps what it was made with: one made without credentials raises NoCredentialsError at each call, for ever.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast


def connect(service: str, region: str, **limits: Any) -> Any:
    """A boto3 client; `limits` are options of botocore's Config.

    Raises NoCredentialsError (a BotoCoreError) while there are no credentials; the next call looks for them again.
    """
    import boto3  # noqa: PLC0415  half a second that `tripod status` does not need
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415

    # A session of its own: what another one found or did not find says nothing about now.
    session = cast("Any", boto3).Session(region_name=region)
    if session.get_credentials() is None:
        raise NoCredentialsError
    return session.client(service, config=Config(**limits))


class Client:
    """A boto3 client that the first call makes, and keeps; a call without credentials raises what `connect` raises."""

    def __init__(self, service: str, region: str, **limits: Any) -> None:
        self._connect = partial(connect, service, region, **limits)
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._client is None:
            self._client = self._connect()
        return getattr(self._client, name)
