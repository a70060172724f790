"""Credentials from an instance metadata service (a server of this test) that does not answer at first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from moto import mock_aws

import userdata.host
from tests.host.floating import REGION
from userdata.host import __main__ as command
from userdata.host import log_shipper
from userdata.host.aws import Client
from userdata.host.backup_store import Store
from userdata.host.elastic_ip import AddressError, ElasticIp
from userdata.host.group_registry import ParameterStore
from userdata.host.identity import Identity
from userdata.host.metrics import Wanted

IDENTITY = Identity("dev", "server-1", "tripod-dev", REGION)
ROLES = "/latest/meta-data/iam/security-credentials/"


class Metadata(ThreadingHTTPServer):
    """Version 2 of the service. While `silent` it hangs up instead of answering."""

    silent = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._say("token")

    def do_GET(self) -> None:
        if self.path == ROLES:
            self._say("server")
            return
        expires = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": "AKIATEST", "SecretAccessKey": "secret", "Token": "session"}
        self._say(json.dumps({"Code": "Success", "Type": "AWS-HMAC", "Expiration": expires, **keys}))

    def _say(self, text: str) -> None:
        if self.server.silent:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    with mock_aws(), Metadata() as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_EC2_METADATA_DISABLED"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def a_group() -> Callable[[], Any]:
    return ParameterStore("/tripod/dev/group", "server-1", REGION).read


def an_address() -> Callable[[], Any]:
    address = ElasticIp({"Name": "nothing"}, REGION, own_id=lambda: "i-1")

    def look() -> None:
        with pytest.raises(AddressError):
            address.look()

    return look


def a_bucket() -> Callable[[], Any]:
    boto3.client("s3", REGION, aws_access_key_id="a", aws_secret_access_key="b").create_bucket(
        Bucket="backups", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return Store("backups", Client("s3", REGION)).timeline


def a_digest() -> Callable[[], Any]:
    s3 = boto3.client("s3", REGION, aws_access_key_id="a", aws_secret_access_key="b")
    s3.create_bucket(Bucket=IDENTITY.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=IDENTITY.bucket, Key=IDENTITY.manifest_key, Body=b'{"digest": "sha256:aa"}')
    return Wanted(command.client("s3", IDENTITY), IDENTITY, iter((0.0, 0.0, 1000.0, 1000.0)).__next__)


def a_log() -> Callable[[], Any]:
    return lambda: log_shipper.client(IDENTITY).describe_log_groups()


@pytest.mark.parametrize("user", [a_group, an_address, a_bucket, a_digest, a_log], ids=lambda user: user.__name__)
def test_the_next_call_finds_the_credentials_that_the_first_one_missed(metadata: Metadata, user: Any) -> None:
    call = user()
    with pytest.raises(NoCredentialsError):
        call()
    metadata.silent = False
    call()


def test_nobody_makes_a_client_in_another_way() -> None:
    """One that is made without this module's care stays without credentials."""
    programs = Path(userdata.host.__file__).parent.glob("*.py")
    assert [program.name for program in programs if "import boto3" in program.read_text()] == ["aws.py"]
