"""Whether the site answers: asked on every load balancer, and from this machine if wished."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from operations.aws import Aws
from operations.command import Runner, program
from operations.errors import CommandFailedError, OperationError
from operations.fleet import FleetServer
from topology.names import ca_certificate_parameter

_TIMEOUT = 30


def host_of(url: str | None) -> str:
    """The name of the site by its URL; empty without one: any name will do. Raises OperationError."""
    if url is None:
        return ""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OperationError(f"'{url}' is not a URL ({error}). Write it as https://www.example.org/.") from error
    if parts.scheme != "https" or not host or port == 0:
        raise OperationError(f"'{url}' is not an https:// URL. Write it as https://www.example.org/.")
    return host


@dataclass(frozen=True)
class SiteAnswer:
    """What a load balancer answered: `problem` None when it serves, `note` what a visitor might stumble over."""

    problem: str | None
    note: str | None


def ask_site(runner: Runner, server: FleetServer, host: str, path: str) -> SiteAnswer:
    """Ask a load balancer for `path` of the site called `host`, on that server itself.

    Statuses below 500 count as an answer: a 404 or 401 is the application's business, 503 is HAProxy's word for
    no application server. Raises ServerUnreachableError or CommandFailedError.
    """
    result = runner.run(server, program("site_check", server.address, host, path), _TIMEOUT)
    try:
        answer = json.loads(result.require("asking the site for a page").stdout)
        status, error, note = answer["status"], answer["error"], answer["note"]
    except (ValueError, KeyError, TypeError) as unusable:
        raise CommandFailedError(f"{server.name}: the site check failed: {result.complaint}") from unusable
    if error is not None:
        return SiteAnswer(f"no answer from https://{server.address}{path}: {error}", None)
    return SiteAnswer(_status_problem(int(status)), note)


def outside_problem(aws: Aws, stack: str, url: str) -> str | None:
    """Why `url` does not answer from this machine; None when it does. The stack's own CA is trusted too."""
    context = ssl.create_default_context()
    # From Python 3.13 on it refuses what browsers accept, such as a certificate that names its issuer without a key id.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    found = aws.call("ssm", "get_parameters", Names=[ca_certificate_parameter(stack)])["Parameters"]
    for parameter in found:
        context.load_verify_locations(cadata=str(parameter["Value"]))
    host_of(url)
    request = urllib.request.Request(url, headers={"User-Agent": "tripod-verify"})  # noqa: S310 - https only, checked
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=context) as answer:  # noqa: S310
            return _status_problem(int(answer.status))
    except urllib.error.HTTPError as error:
        return _status_problem(error.code)
    except OSError as error:
        return f"no answer from {url}: {getattr(error, 'reason', error)}"


def _status_problem(status: int) -> str | None:
    return None if status < 500 else f"the site answers with status {status}"
