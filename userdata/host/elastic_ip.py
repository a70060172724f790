"""The stack's Elastic IP in EC2: find it by its tags, see where it is, take it.

`AssociateAddress` answers success to everybody who asks, and the last one wins: only `DescribeAddresses` tells who
has it, and for a few moments after a move it may show what was before (both are eventually consistent).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws import connect

METADATA = "http://169.254.169.254/latest"
METADATA_SECONDS = 2.0

# One attempt each: the daemon itself decides what to do next, and by then its state may be another.
_CALLS = {"connect_timeout": 1, "read_timeout": 3, "retries": {"total_max_attempts": 1}, "tcp_keepalive": True}


class AddressError(Exception):
    """There is not exactly one Elastic IP with the stack's tags, or the instance does not know its own id."""


AnswerError = (ClientError, AddressError)
"""The API answered, with a refusal."""

SilenceError = (BotoCoreError, OSError)
"""Nothing answered: this server may be cut off."""


def refused(error: Exception) -> bool:
    """Whether IAM refuses the call, as it does until somebody mends the policy (EC2 API, "Client error codes")."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "UnauthorizedOperation"


@dataclass(frozen=True)
class Location:
    """The address and who has it. The last three are None while nobody has."""

    public_ip: str
    allocation_id: str
    private_ip: str | None = None
    instance_id: str | None = None
    interface_id: str | None = None


def instance_id() -> str:
    """This instance's id, from the instance metadata (version 2). Raises OSError without an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ask = urllib.request.Request(  # noqa: S310  a fixed http URL
        f"{METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    with opener.open(ask, timeout=METADATA_SECONDS) as answer:
        token = answer.read().decode()
    ask = urllib.request.Request(  # noqa: S310  the same
        f"{METADATA}/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token}
    )
    with opener.open(ask, timeout=METADATA_SECONDS) as answer:
        return str(answer.read().decode())


class ElasticIp:
    """The one Elastic IP that has all of `tags`. Calls raise AnswerError or SilenceError."""

    def __init__(
        self, tags: Mapping[str, str], region: str, ec2: Any = None, own_id: Callable[[], str] = instance_id
    ) -> None:
        self._tags = tags
        self._region = region
        self._ec2 = ec2
        self._own_id = own_id
        self._instance_id: str | None = None
        self._allocation_id: str | None = None

    def warm_up(self) -> None:
        """Make the client and learn the instance's id, so that the first call for an address is only that call."""
        # Making one takes half a second.
        self._ec2 = self._ec2 or connect("ec2", self._region, **_CALLS)
        self._instance_id = self._instance_id or self._own_id()

    def look(self) -> Location:
        """Where the address is: one DescribeAddresses."""
        self.warm_up()
        try:
            if self._allocation_id:
                found = self._ec2.describe_addresses(AllocationIds=[self._allocation_id])["Addresses"]
            else:
                filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(self._tags.items())]
                found = self._ec2.describe_addresses(Filters=filters)["Addresses"]
        except ClientError as error:
            if "NotFound" in error.response["Error"]["Code"]:
                self._allocation_id = None
            raise
        except SilenceError:
            self.hang_up()
            raise
        if len(found) != 1:
            raise AddressError(f"{len(found)} Elastic IPs have the tags {json.dumps(dict(self._tags))}, not one")
        self._allocation_id = str(found[0]["AllocationId"])
        return Location(
            public_ip=str(found[0]["PublicIp"]),
            allocation_id=self._allocation_id,
            private_ip=found[0].get("PrivateIpAddress") or None,
            instance_id=found[0].get("InstanceId") or None,
            interface_id=found[0].get("NetworkInterfaceId") or None,
        )

    def take(self) -> None:
        """Associate the address with this instance, wherever it is: one AssociateAddress."""
        self.warm_up()
        if not self._allocation_id:
            self.look()
        try:
            self._ec2.associate_address(
                AllocationId=self._allocation_id, InstanceId=self._instance_id, AllowReassociation=True
            )
        finally:
            # This server's public address is another now: a connection from the old one would never be answered.
            self.hang_up()

    def is_mine(self, location: Location) -> bool:
        """Whether `location` is this instance."""
        return self._instance_id is not None and location.instance_id == self._instance_id

    def hang_up(self) -> None:
        """Close the connections to the API; the next call opens a new one."""
        if self._ec2 is not None:
            self._ec2.close()
