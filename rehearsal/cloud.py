"""The emulated AWS: moto in this process, served on as many sockets as there are places to reach it from."""

from __future__ import annotations

import io
import logging
import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from rehearsal import balancer_spec, cloud_patches, notification_patch, target_health_patch, zone_patch
from rehearsal.moto_changes import Changes
from rehearsal.shell import RehearsalError
from rehearsal.view import Disk, Group, GroupRule, Instance, View

GONE = {"terminated", "shutting-down"}

_log = logging.getLogger(__name__)


class QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # moto publishes no types
    """Requests at debug level: hosts poll."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        _log.debug("%s %s %s %s", self.client_address[0], self.requestline, code, size)


class Cloud:
    """One emulated account in one region, 123456789012.

    moto's back ends are not safe against concurrent changes, so one lock serialises requests and reads.
    """

    def __init__(
        self,
        region: str,
        *,
        managed: Callable[[str], bool],
        start_command: Callable[[Any], None],
        target_states: Callable[[], target_health_patch.States] = dict,
        tell: notification_patch.Tell = lambda _: None,
    ) -> None:
        if region not in ec2_backends[DEFAULT_ACCOUNT_ID].regions:
            raise RehearsalError(f"aws:region '{region}' is no region that the emulated AWS knows: choose another one")
        self.region = region
        self.lock = threading.RLock()
        self._changes = Changes()
        cloud_patches.install(self._changes, managed, start_command)
        target_health_patch.install(self._changes, target_states)
        zone_patch.install(self._changes)
        notification_patch.install(self._changes, tell)
        self._dispatch = DomainDispatcherApplication(create_backend_app)
        self._servers: list[tuple[BaseWSGIServer, threading.Thread]] = []
        cloud_patches.register_images(self._ec2)

    @property
    def _ec2(self) -> Any:
        return ec2_backends[DEFAULT_ACCOUNT_ID][self.region]

    def reset(self) -> None:
        """Forget everything (tests share one process)."""
        with self.lock:
            for service in ("ec2", "elbv2", "iam", "s3", "ssm", "route53", "cloudwatch", "logs", "sns", "kms"):
                get_backend(service).reset()
            cloud_patches.register_images(self._ec2)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The API as a WSGI application."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length and not environ.get("HTTP_TRANSFER_ENCODING"):
            # Read before taking the lock: a slow client must not stop the others.
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self.lock:
            return list(self._dispatch(environ, start_response))

    def serve(self, listener: socket.socket) -> None:
        """Answer on a listening socket, in a thread of its own, until close()."""
        host, port = listener.getsockname()[:2]
        server = make_server(host, port, self, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
        server.daemon_threads = True  # type: ignore[attr-defined]
        listener.detach()
        thread = threading.Thread(target=server.serve_forever, name=f"cloud-{host}", daemon=True)
        thread.start()
        self._servers.append((server, thread))

    def close(self) -> None:
        """Stop answering, and leave moto as it comes."""
        for server, thread in self._servers:
            server.shutdown()
            server.server_close()
            thread.join()
        self._servers.clear()
        self._changes.undo()

    def view(self) -> View:
        """What should be real now."""
        with self.lock:
            ec2 = self._ec2
            return View(
                instances={one.id: self._instance(one) for one in ec2.all_instances() if one.state not in GONE},
                groups={
                    group.id: Group(_rules(group.ingress_rules), _rules(group.egress_rules))
                    for groups in ec2.groups.values()
                    for group in groups.values()
                },
                elastic={
                    address.public_ip: address.eni.private_ip_address
                    for address in ec2.addresses
                    if address.eni is not None
                },
                volumes={volume.id: int(volume.size) for volume in ec2.volumes.values()},
                nodes=balancer_spec.read(elbv2_backends[DEFAULT_ACCOUNT_ID][self.region]),
            )

    def _instance(self, one: Any) -> Instance:
        interface = one.nics[0]
        subnet = interface.subnet
        vpc = self._ec2.get_vpc(subnet.vpc_id)
        devices = {device: Disk(block.volume_id, int(block.size)) for device, block in one.get_block_device_mapping}
        root = devices.pop(one.root_device_name, None)
        options = one.metadata_options
        profile = self._profile(one.iam_instance_profile)
        return Instance(
            id=one.id,
            state=one.state,
            address=interface.private_ip_address,
            subnet_cidr=subnet.cidr_block,
            zone=one.placement.zone,
            region=self.region,
            image=one.image_id,
            type=one.instance_type,
            mac=interface.mac_address,
            interface=interface.id,
            subnet=subnet.id,
            vpc=subnet.vpc_id,
            vpc_cidr=vpc.cidr_block,
            groups=tuple(sorted({group.id for group in interface.group_set})),
            user_data=_decode(one.user_data),
            role=profile[0] if profile else None,
            profile_arn=profile[1] if profile else None,
            tokens_required=options.http_tokens == "required",
            metadata_enabled=options.http_endpoint == "enabled",
            hop_limit=int(options.http_put_response_hop_limit),
            tags={tag["key"]: tag["value"] for tag in one.get_tags()},
            tags_in_metadata=options.instance_metadata_tags == "enabled",
            launched=one.launch_time.isoformat(),
            power_cycles=cloud_patches.power_cycles(one),
            root=root,
            disks=tuple(devices[device] for device in sorted(devices)),
        )

    def _profile(self, given: Any) -> tuple[str, str] | None:
        """Role name and ARN of an instance profile."""
        if not given:
            return None
        profiles = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].instance_profiles
        arn = getattr(given, "arn", None) or (given.get("Arn") if isinstance(given, dict) else None)
        name = getattr(given, "name", None) or (given.get("Name") if isinstance(given, dict) else str(given))
        for profile in profiles.values():
            if (profile.arn == arn or profile.name == name) and profile.roles:
                return profile.roles[0].name, profile.arn
        return None

    def balancers(self) -> dict[str, list[str]]:
        """ARN of each target group -> those of the load balancers that use it."""
        with self.lock:
            groups = elbv2_backends[DEFAULT_ACCOUNT_ID][self.region].target_groups
            return {arn: list(group.load_balancer_arns) for arn, group in groups.items()}

    def stopped_by_host(self, instance_id: str) -> None:
        """Tell the API that an instance shut itself down."""
        with self.lock:
            instance = self._ec2.get_instance(instance_id)
            if instance is not None and instance.state == "running":
                instance.stop()

    def start_instance(self, instance_id: str) -> None:
        """Start a stopped instance, as StartInstances does."""
        with self.lock:
            self._ec2.start_instances([instance_id])


def _decode(data: Any) -> bytes:
    if not data:
        return b""
    if hasattr(data, "decoded"):
        return bytes(data.decoded)
    try:
        return b64decode(str(data), validate=True)
    except ValueError:
        return str(data).encode()


def _rules(rules: Any) -> tuple[GroupRule, ...]:
    return tuple(
        GroupRule(
            protocol=str(rule.ip_protocol),
            from_port=_port(rule.from_port),
            to_port=_port(rule.to_port),
            group=(rule.source_group or {}).get("GroupId"),
            cidr=(rule.ip_range or {}).get("CidrIp"),
        )
        for rule in rules
    )


def _port(value: Any) -> int | None:
    return None if value is None or int(value) < 0 else int(value)
