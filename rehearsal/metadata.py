"""The instance metadata service, version 2, answering each host by its source address.

Shapes: "Instance metadata categories" of the EC2 user guide. cloud-init's Ec2 data source works against it.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn

from rehearsal.view import Instance

ACCOUNT_ID = "123456789012"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST_TTL = 21600
VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")

Tree = dict[str, "Tree | str"]

_log = logging.getLogger(__name__)


def credentials(instance: Instance, now: datetime) -> str:
    """The role's temporary credentials: made up, and of no use anywhere but here."""
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Expiration": (now + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "AccessKeyId": f"ASIAREHEARSAL{instance.id[-7:].upper()}",
            "SecretAccessKey": "rehearsal",
            "Token": "rehearsal",
        },
        indent=1,
    )


def identity(instance: Instance) -> str:
    """The instance identity document."""
    return json.dumps(
        {
            "accountId": ACCOUNT_ID,
            "architecture": "x86_64",
            "availabilityZone": instance.zone,
            "imageId": instance.image,
            "instanceId": instance.id,
            "instanceType": instance.type,
            "pendingTime": instance.launched,
            "privateIp": instance.address,
            "region": instance.region,
            "version": "2017-09-30",
        },
        indent=1,
    )


def tree(instance: Instance, public: str | None, now: datetime) -> Tree:
    """Everything below /latest/ for one instance."""
    hostname = f"ip-{instance.address.replace('.', '-')}.{instance.region}.compute.internal"
    interface: Tree = {
        "device-number": "0",
        "interface-id": instance.interface,
        "local-hostname": hostname,
        "local-ipv4s": instance.address,
        "mac": instance.mac,
        "owner-id": ACCOUNT_ID,
        "security-group-ids": "\n".join(instance.groups),
        "subnet-id": instance.subnet,
        "subnet-ipv4-cidr-block": instance.subnet_cidr,
        "vpc-id": instance.vpc,
        "vpc-ipv4-cidr-block": instance.vpc_cidr,
        "vpc-ipv4-cidr-blocks": instance.vpc_cidr,
    }
    meta: Tree = {
        "ami-id": instance.image,
        "ami-launch-index": "0",
        "block-device-mapping": {"ami": "sda1", "root": "/dev/sda1"},
        "hostname": hostname,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.type,
        "local-hostname": hostname,
        "local-ipv4": instance.address,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": {instance.mac: interface}}},
        "placement": {"availability-zone": instance.zone, "region": instance.region},
        "reservation-id": "r-" + instance.id.removeprefix("i-"),
        "security-groups": "\n".join(instance.groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if public is not None:
        meta["public-ipv4"] = public
        interface["public-ipv4s"] = public
    if instance.role is not None:
        meta["iam"] = {
            "info": json.dumps({"Code": "Success", "InstanceProfileArn": instance.profile_arn}),
            "security-credentials": {instance.role: credentials(instance, now)},
        }
    if instance.tags_in_metadata:
        meta["tags"] = {"instance": dict(instance.tags)}
    return {
        "dynamic": {"instance-identity": {"document": identity(instance)}},
        "meta-data": meta,
        "user-data": instance.user_data.decode(errors="replace"),
    }


def look_up(root: Tree, path: str) -> str | None:
    """The text at a path: a value, or the listing of a folder. None when there is nothing."""
    node: Tree | str = root
    for part in filter(None, path.split("/")):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if isinstance(node, str):
        return node
    return "\n".join(f"{name}/" if isinstance(below, dict) else name for name, below in node.items())


class Metadata:
    """Serves the metadata of the instances that `find` knows by address.

    `find(address)` gives the instance and its public address, or None.
    """

    def __init__(self, find: Callable[[str], tuple[Instance, str | None] | None]) -> None:
        self.find = find
        self._tokens: dict[str, tuple[str, float]] = {}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def issue(self, address: str, seconds: int) -> str:
        """A token for one address, valid for `seconds`."""
        token = secrets.token_urlsafe(40)
        self._tokens[token] = (address, time.monotonic() + seconds)
        return token

    def valid(self, address: str, token: str) -> bool:
        """Whether a token was issued to this address and has not expired."""
        owner, end = self._tokens.get(token, ("", 0.0))
        return owner == address and time.monotonic() < end

    def serve(self, listener: socket.socket) -> None:
        """Answer on a listening socket, in a thread of its own, until close()."""
        self._server = _Server(listener, self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metadata", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, metadata: Metadata) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.metadata = metadata


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (name of the base class)
        _log.debug("%s %s", self.client_address[0], format % args)

    def _answer(self, status: HTTPStatus, text: str = "", headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _instance(self) -> tuple[Instance, str | None] | None:
        found = self.server.metadata.find(self.client_address[0])
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return None
        if not found[0].metadata_enabled:
            self._answer(HTTPStatus.FORBIDDEN)
            return None
        return found

    def do_PUT(self) -> None:
        """Issue a session token. Its answer lives for as many hops as the instance allows."""
        found = self._instance()
        if found is None:
            return
        instance, _ = found
        ttl = self.headers.get(TTL_HEADER, "")
        if self.headers.get("X-Forwarded-For"):
            self._answer(HTTPStatus.FORBIDDEN)
        elif self.path.rstrip("/") != "/latest/api/token":
            self._answer(HTTPStatus.NOT_FOUND)
        elif not ttl.isdigit() or not 1 <= int(ttl) <= LONGEST_TTL:
            self._answer(HTTPStatus.BAD_REQUEST)
        else:
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, instance.hop_limit)
            token = self.server.metadata.issue(self.client_address[0], int(ttl))
            self._answer(HTTPStatus.OK, token, {TTL_HEADER: ttl})

    def do_GET(self) -> None:
        """Answer one path."""
        found = self._instance()
        if found is None:
            return
        instance, public = found
        token = self.headers.get(TOKEN_HEADER)
        known = token is not None and self.server.metadata.valid(self.client_address[0], token)
        # cloud-init asks for a token only where the firmware's tables say "EC2", which a container does not have. On
        # EC2 it sends one; here it is let in by name, and everybody else needs a token as there.
        excused = token is None and self.headers.get("User-Agent", "").startswith("Cloud-Init/")
        if not known and not excused and (instance.tokens_required or token is not None):
            self._answer(HTTPStatus.UNAUTHORIZED)
            return
        path = self.path.split("?")[0].lstrip("/")
        if not path:
            self._answer(HTTPStatus.OK, "\n".join(VERSIONS))
            return
        version, _, rest = path.partition("/")
        text = look_up(tree(instance, public, datetime.now(UTC)), rest) if version in VERSIONS else None
        if text is None or (rest.rstrip("/") == "user-data" and not instance.user_data):
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, text)

    do_HEAD = do_GET  # noqa: N815  (name of the base class)
