"""Every refusal of AWS becomes one clear message; throttling is ridden out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from operations.aws import CONFIG, RETRIES, Aws
from operations.errors import (
    AwsError,
    CredentialsError,
    EndpointError,
    OperationError,
    PermissionDeniedError,
    RegionError,
    ThrottledError,
    translate,
)


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "SendCommand")


def test_without_credentials(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="AWS_PROFILE"):
        Aws().call("ec2", "describe_instances")


def test_with_an_unknown_profile(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="nobody"):
        Aws()


def test_without_a_region(monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(RegionError, match="--region"):
        Aws()


def test_the_region_of_the_environment_counts_where_boto3_alone_would_not_look(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert Aws().region == "sa-east-1"
    assert Aws("eu-north-1").region == "eu-north-1"


def test_an_endpoint_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    quick = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    with pytest.raises(EndpointError, match=r"ssm:GetParameters.*127\.0\.0\.1:9"):
        Aws(config=quick).call("ssm", "get_parameters", Names=["/x"])


def test_denied_names_action_resource_and_identity():
    message = (
        "User: arn:aws:sts::123456789012:assumed-role/reader/me is not authorized to perform: ssm:SendCommand on "
        "resource: arn:aws:ec2:eu-central-1:123456789012:instance/i-0abc because no identity-based policy allows it"
    )
    error = translate(refusal("AccessDeniedException", message), "ssm:SendCommand")
    assert isinstance(error, PermissionDeniedError)
    assert error.action == "ssm:SendCommand"
    assert error.resource == "arn:aws:ec2:eu-central-1:123456789012:instance/i-0abc"
    assert error.principal == "arn:aws:sts::123456789012:assumed-role/reader/me"
    for part in (error.action, error.resource, error.principal):
        assert part in str(error)


def test_denied_without_words_still_names_the_action():
    error = translate(refusal("UnauthorizedOperation", "You are not authorized."), "ec2:DescribeInstances")
    assert isinstance(error, PermissionDeniedError)
    assert (error.action, error.resource, error.principal) == ("ec2:DescribeInstances", "*", None)


@pytest.mark.parametrize(
    "code,kind",
    [
        ("ExpiredTokenException", CredentialsError),
        ("UnrecognizedClientException", CredentialsError),
        ("AuthFailure", CredentialsError),
        ("ThrottlingException", ThrottledError),
        ("RequestLimitExceeded", ThrottledError),
        ("InternalServerError", AwsError),
    ],
)
def test_codes(code, kind):
    error = translate(refusal(code, "some words"), "ssm:SendCommand")
    assert type(error) is kind
    assert code in str(error)


def test_everything_else_of_boto3_is_translated_too(aws):
    with pytest.raises(OperationError, match="ssm:GetParameters"):
        aws.call("ssm", "get_parameters", Names="not a list")


@contextmanager
def throttling(times: int) -> Iterator[tuple[str, list[int]]]:
    """An endpoint that throttles `times` requests, then answers with no parameters."""
    count = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            count[0] += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            throttled = count[0] <= times
            body = (
                b'{"__type": "ThrottlingException", "message": "Rate exceeded"}' if throttled else b'{"Parameters": []}'
            )
            self.send_response(400 if throttled else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", count
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_throttling_is_retried(monkeypatch):
    with throttling(2) as (url, count):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert Aws().call("ssm", "get_parameters", Names=["/x"])["Parameters"] == []
        assert count == [3]


def test_throttling_without_end_is_said(monkeypatch):
    with throttling(1000) as (url, count):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        quick = CONFIG.merge(Config(retries={"mode": "adaptive", "total_max_attempts": 2}))
        with pytest.raises(ThrottledError, match="ssm:GetParameters"):
            Aws(config=quick).call("ssm", "get_parameters", Names=["/x"])
        assert count == [2]


def test_retries_are_adaptive():
    assert CONFIG.retries == {"mode": "adaptive", "total_max_attempts": RETRIES}
    assert RETRIES >= 8
