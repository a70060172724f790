"""What can go wrong in a command, each with a message that a person can act on."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

# Error codes differ by service: EC2's query protocol, and the JSON protocol of the others.
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_CREDENTIALS = {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RateExceeded",
}

_ACTION = re.compile(r"not authorized to perform: (?P<action>[\w-]+:\w+)")
_RESOURCE = re.compile(r"on resource: (?P<resource>[^\s,]+)")
_PRINCIPAL = re.compile(r"(?:User: )(?P<principal>arn:\S+)")

# Names of IAM actions that are not the name of the API operation.
_IAM_ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}


class OperationError(Exception):
    """A command cannot do what was asked. The message is complete: no traceback is needed to understand it."""


class CredentialsError(OperationError):
    """There are no AWS credentials, or AWS does not accept them."""


class RegionError(OperationError):
    """No AWS region is set."""


class EndpointError(OperationError):
    """The AWS endpoint cannot be reached."""


class PermissionDeniedError(OperationError):
    """The caller lacks a permission. `action` and `resource` are in IAM's spelling."""

    def __init__(self, action: str, resource: str, principal: str | None) -> None:
        self.action = action
        self.resource = resource
        self.principal = principal
        who = principal or "The credentials in use"
        super().__init__(f"{who} may not do {action} on {resource}. Allow it in the IAM policy of that identity.")


class ThrottledError(OperationError):
    """AWS kept refusing for too many requests, after every retry."""


class AwsError(OperationError):
    """Any other refusal of AWS. `code` is the API's error code."""

    def __init__(self, action: str, code: str, message: str) -> None:
        self.action = action
        self.code = code
        super().__init__(f"AWS refused {action} ({code}): {message}")


class StackNotFoundError(OperationError):
    """No server has this stack's tag."""

    def __init__(self, stack: str, region: str, present: tuple[str, ...]) -> None:
        self.present = present
        there = f"Stacks there: {', '.join(present)}." if present else "There is no stack there at all."
        super().__init__(
            f"No server of stack '{stack}' in {region}. {there} "
            "Check --stack, AWS_REGION and the account of the credentials in use."
        )


class ServerNotFoundError(OperationError):
    """The stack has no server of this name."""

    def __init__(self, stack: str, server: str, present: tuple[str, ...]) -> None:
        super().__init__(f"Stack '{stack}' has no server '{server}'. Its servers: {', '.join(present)}.")


class ServerUnreachableError(OperationError):
    """Systems Manager cannot run a command on a server. `server` is its name."""

    def __init__(self, server: str, why: str) -> None:
        self.server = server
        super().__init__(f"{server}: {why}")


class CommandFailedError(OperationError):
    """A command ran on a server and failed, or its output cannot be used."""


TRANSIENT = (ServerUnreachableError, EndpointError, ThrottledError)
"""What may be over in a moment. The work on a server goes on meanwhile."""


def translate(error: BotoCoreError | ClientError, action: str) -> OperationError:
    """The error of a command for an error of boto3. `action` is `service:Operation`, such as `ssm:SendCommand`."""
    if isinstance(error, ClientError):
        return _refusal(error, action)
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return CredentialsError(
                f"No usable AWS credentials ({error}). Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or run 'aws sso login'."
            )
        case TokenRetrievalError() | SSOError():
            return CredentialsError(f"The AWS sign-in is not valid any more ({error}). Run 'aws sso login' again.")
        case ProfileNotFound():
            return CredentialsError(f"{error}. Check AWS_PROFILE.")
        case NoRegionError():
            return RegionError("No AWS region is set. Set AWS_REGION, or pass --region.")
        case InvalidRegionError():
            return RegionError(f"{error} Write one region's name, such as eu-central-1, in AWS_REGION or --region.")
        case ConnectionError() | HTTPClientError():
            return EndpointError(f"The AWS endpoint for {action} cannot be reached: {error}")
        case _:
            return OperationError(f"{action} failed: {error}")


def _refusal(error: ClientError, action: str) -> OperationError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    message = str(error.response.get("Error", {}).get("Message", "no message"))
    action = _IAM_ACTIONS.get(action, action)
    if code in _DENIED:
        named = _ACTION.search(message)
        resource = _RESOURCE.search(message)
        principal = _PRINCIPAL.search(message)
        return PermissionDeniedError(
            named["action"] if named else action,
            resource["resource"] if resource else "*",
            principal["principal"] if principal else None,
        )
    if code in _EXPIRED:
        return CredentialsError(f"The AWS credentials have expired ({code}). Sign in again, then repeat the command.")
    if code in _UNKNOWN_CREDENTIALS:
        return CredentialsError(f"AWS does not accept these credentials ({code}): {message}")
    if code in _THROTTLED:
        return ThrottledError(f"AWS kept throttling {action} ({code}) through every retry. Try again in a minute.")
    return AwsError(action, code, message)
