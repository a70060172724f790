"""One server: its bundle, its certificate, its role in IAM, its instance, and the data volume that outlives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.bundle import Bucket, Programs, ServerBundle, ServerBundleArgs
from components.certificates import SERVER_DAYS, SERVER_RENEWAL_DAYS, Authority, Certificate, CertificateArgs
from components.firewall import Firewall
from components.logs import Logs
from components.network import Network
from components.permissions import TRUST, Account, server_policy
from topology import names
from topology.model import Server as Spec
from topology.model import Topology
from topology.names import TAG_DATA, TAG_ROLES, TAG_SERVER
from userdata.render import bundle, user_data

# Only a name for the attachment: on Nitro instances the server finds the volume by its id (NVMe).
DATA_DEVICE = "/dev/sdf"


@dataclass(frozen=True)
class ServerArgs:
    """What a server needs to know.

    `bucket_name` is known before the bucket is there. `parameters` are all that the stack makes, by name: the server
    waits for those its bundle names.
    """

    topology: Topology
    spec: Spec
    account: Account
    image: str
    network: Network
    firewall: Firewall
    bucket: Bucket
    bucket_name: str
    programs: Programs
    authority: Authority
    parameters: Mapping[str, aws.ssm.Parameter]
    logs: Logs
    deletion_protection: bool


class Server(pulumi.ComponentResource):
    """An EC2 instance with its own least-privilege role, its own objects and parameters, and its own data volume.

    `digest` is that of its bundle, known at preview. `parameters` are those it reads and this program makes.
    """

    spec: Spec
    digest: str
    parameters: Mapping[str, aws.ssm.Parameter]
    instance_id: pulumi.Output[str]

    def __init__(self, name: str, args: ServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:server:Server", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topology, self.spec = args.topology, args.spec
        spec = args.spec
        label = f"tripod-{topology.stack}-{spec.name}"
        tags = {"Name": label, TAG_SERVER: spec.name}
        content = bundle(topology, spec)
        self.digest = content.digest

        certificate = Certificate(f"{name}-certificate", _certificate(args), child)
        objects = ServerBundle(f"{name}-bundle", ServerBundleArgs(spec, content, args.bucket, args.programs), child)
        secrets = [secret.parameter for secret in content.secrets]
        made = {**args.parameters, **certificate.parameters}
        self.parameters = {parameter: made[parameter] for parameter in secrets if parameter in made}

        role = aws.iam.Role(f"{name}-role", assume_role_policy=TRUST, tags=tags, opts=child)
        policy = aws.iam.RolePolicy(
            f"{name}-policy",
            role=role.name,
            policy=server_policy(topology, spec, account=args.account, bucket=args.bucket_name, parameters=secrets),
            opts=child,
        )
        profile = aws.iam.InstanceProfile(f"{name}-profile", role=role.name, tags=tags, opts=child)
        volume = aws.ebs.Volume(
            f"{name}-data",
            availability_zone=spec.zone,
            size=spec.data_volume_gib,
            type="gp3",
            encrypted=True,
            tags={**tags, "Name": f"{label}-data", TAG_DATA: topology.stack},
            # The data outlive the server, a mistaken `pulumi destroy` (protect) and a meant one (retain). A volume
            # restored from a snapshot must not be replaced because the program names none.
            opts=pulumi.ResourceOptions(
                parent=self, protect=True, retain_on_delete=True, ignore_changes=["snapshotId"]
            ),
        )
        instance = aws.ec2.Instance(
            f"{name}-instance",
            ami=args.image,
            instance_type=spec.instance_type,
            subnet_id=args.network.subnet_ids[spec.subnet],
            private_ip=str(spec.address),
            vpc_security_group_ids=args.firewall.of(spec),
            iam_instance_profile=profile.name,
            user_data=user_data(topology, spec, args.bucket_name),
            monitoring=True,
            disable_api_termination=args.deletion_protection and spec.holds_data,
            metadata_options=_metadata(),
            root_block_device=_root(spec, {**tags, "Name": f"{label}-root"}),
            tags={**tags, TAG_ROLES: " ".join(spec.roles)},
            opts=pulumi.ResourceOptions(
                parent=self,
                # What the first boot needs: the way out, permission, its files, its secrets, its disk, its log groups.
                depends_on=[
                    *(args.network, args.firewall, policy, objects.manifest, *self.parameters.values(), volume),
                    *(args.logs.groups[log] for log in spec.logs),
                ],
                # A newer image, or new user data, matters to a server's first boot only. The one would replace a
                # running server, the other would stop and start it (and not be run): all of them at once.
                ignore_changes=["ami", "userData"],
                # The address and the volume can be used by one instance at a time.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="15m", update="15m", delete="20m"),
            ),
        )
        aws.ec2.VolumeAttachment(
            f"{name}-data-attachment",
            device_name=DATA_DEVICE,
            instance_id=instance.id,
            volume_id=volume.id,
            # mysqld must have written everything before its disk goes.
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.instance_id = instance.id
        self.register_outputs({"instanceId": self.instance_id, "volumeId": volume.id, "digest": self.digest})


def _certificate(args: ServerArgs) -> CertificateArgs:
    stack, spec = args.topology.stack, args.spec
    return CertificateArgs(
        authority=args.authority,
        common_name=spec.name,
        dns_names=[spec.name, "localhost"],
        addresses=[str(spec.address), "127.0.0.1"],
        certificate_parameter=names.server_certificate_parameter(stack, spec.name),
        key_parameter=names.server_key_parameter(stack, spec.name),
        days=SERVER_DAYS,
        renewal_days=SERVER_RENEWAL_DAYS,
    )


def _metadata() -> aws.ec2.InstanceMetadataOptionsArgs:
    return aws.ec2.InstanceMetadataOptionsArgs(
        http_endpoint="enabled",
        http_tokens="required",
        # One hop: a container or a proxied request does not get at the role.
        http_put_response_hop_limit=1,
        instance_metadata_tags="disabled",
    )


def _root(spec: Spec, tags: Mapping[str, str]) -> aws.ec2.InstanceRootBlockDeviceArgs:
    return aws.ec2.InstanceRootBlockDeviceArgs(
        volume_type="gp3",
        volume_size=spec.root_volume_gib,
        encrypted=True,
        delete_on_termination=True,
        tags=dict(tags),
    )
