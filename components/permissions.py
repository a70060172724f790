"""What a server may do in AWS: its own objects, its own parameters, its own state, and nothing of anybody else.

Everything here is text, known before anything exists, so a preview shows every permission.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topology import names
from topology.model import Server, Topology
from topology.names import TAG_SERVER, TAG_STACK, Edge, Role

Statement = dict[str, object]

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
"""Only EC2 may hand this role to a server."""


@dataclass(frozen=True)
class Account:
    """Where the stack lives: AWS account id, partition (`aws`, ...) and region, as ARNs need them."""

    id: str
    partition: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """ARN of a regional resource of this account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"


def server_policy(
    topology: Topology, server: Server, *, account: Account, bucket: str, parameters: Sequence[str]
) -> str:
    """The policy of one server's role, as JSON. `parameters` are the names it reads at apply time."""
    backups = names.backup_bucket(topology.stack, account.id, topology.region)
    statements = [
        *_session_manager(),
        *_bundle(topology, server, account, bucket),
        *_parameters(topology, server, account, parameters),
        *_address(topology, server, account),
        *_backups(server, account, backups),
        *_alerts(topology, server, account),
        *_logs(topology, server, account),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _session_manager() -> Iterator[Statement]:
    # What the SSM agent needs for shells and Run Command, and no more. AmazonSSMManagedInstanceCore would also let
    # a server read every parameter and every secret of the account (ssm:GetParameter on *). None of these actions
    # can be limited to a resource. ec2messages is missing on purpose: agents since 3.3.40 take commands by
    # ssmmessages wherever that is allowed (Systems Manager guide, "ec2messages, ssmmessages and other operations"; the
    # agent's release notes, 3.3.40.0, February 2024), and a snap keeps itself at the newest.
    yield {
        "Sid": "SessionManager",
        "Effect": "Allow",
        "Action": [
            "ssm:UpdateInstanceInformation",
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
        ],
        "Resource": "*",
    }


def _bundle(topology: Topology, server: Server, account: Account, bucket: str) -> Iterator[Statement]:
    yield {
        "Sid": "ReadOwnBundle",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": [
            f"arn:{account.partition}:s3:::{bucket}/{part}/*" for part in (f"servers/{server.name}", "shared")
        ],
    }
    application = topology.application
    if application and application.artifact.startswith("s3://") and server.has(Role.APP):
        yield {
            "Sid": "ReadApplication",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:{account.partition}:s3:::{application.artifact.removeprefix('s3://')}",
        }


def _parameters(topology: Topology, server: Server, account: Account, parameters: Sequence[str]) -> Iterator[Statement]:
    def arn(parameter: str) -> str:
        # A parameter's name begins with a slash, which its ARN does not repeat.
        return account.arn("ssm", f"parameter{parameter}")

    state = arn(names.server_state_parameter(topology.stack, server.name))
    group = arn(names.group_parameters(topology.stack))
    readable = [*(arn(parameter) for parameter in sorted(set(parameters))), state]
    yield {
        "Sid": "ReadOwnParameters",
        "Effect": "Allow",
        "Action": ["ssm:GetParameter", "ssm:GetParameters"],
        "Resource": readable,
    }
    # The key aws/ssm, which encrypts the stack's own SecureStrings, needs no statement: its key policy lets in
    # whoever may read the parameter. A certificate or a secret of the user's own may be under another key.
    provided = [topology.tls.certificate_parameter, topology.tls.key_parameter]
    provided += topology.application.secrets.values() if topology.application else []
    own = [name for name in dict.fromkeys(provided) if name in parameters]
    if own:
        yield {
            "Sid": "DecryptProvided",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": account.arn("kms", "key/*"),
            "Condition": {
                "StringEquals": {
                    "kms:ViaService": f"ssm.{account.region}.amazonaws.com",
                    "kms:EncryptionContext:PARAMETER_ARN": [arn(str(name)) for name in own],
                }
            },
        }
    yield {"Sid": "WriteOwnState", "Effect": "Allow", "Action": "ssm:PutParameter", "Resource": state}
    if server.has(Role.DATABASE):
        # Who may lead the group is settled by parameters that can be created once (see userdata/host/group_decision).
        yield {
            "Sid": "ReadGroup",
            "Effect": "Allow",
            "Action": ["ssm:GetParameter", "ssm:GetParametersByPath"],
            "Resource": [group, f"{group}/*"],
        }
        yield {"Sid": "CreateInGroup", "Effect": "Allow", "Action": "ssm:PutParameter", "Resource": f"{group}/*"}
        # They say that this stack's data exists, and who leads. Nobody on a server may change one that is there.
        yield {
            "Sid": "NeverOverwriteGroup",
            "Effect": "Deny",
            "Action": "ssm:PutParameter",
            "Resource": f"{group}/*",
            "Condition": {"StringEquals": {"ssm:Overwrite": "true"}},
        }


def _alerts(topology: Topology, server: Server, account: Account) -> Iterator[Statement]:
    if not server.has(Role.MONITORING):
        return
    yield {
        "Sid": "SendAlerts",
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Resource": account.arn("sns", names.alerts_topic(topology.stack)),
    }
    # PutMetricData knows no resource; the namespace is what it can be limited to.
    yield {
        "Sid": "Heartbeat",
        "Effect": "Allow",
        "Action": "cloudwatch:PutMetricData",
        "Resource": "*",
        "Condition": {"StringEquals": {"cloudwatch:namespace": names.metrics_namespace(topology.stack)}},
    }


def _logs(topology: Topology, server: Server, account: Account) -> Iterator[Statement]:
    groups = [account.arn("logs", f"log-group:{names.log_group(topology.stack, log)}") for log in server.logs]
    own = [f"{group}:log-stream:{server.name}" for group in groups]
    # To write into its own streams, and neither to read nor to delete: whoever broke in cannot take back what was said.
    # CreateLogStream is asked about the group (Service Authorization Reference) or the stream (its denials say so).
    yield {
        "Sid": "CreateOwnLogStreams",
        "Effect": "Allow",
        "Action": "logs:CreateLogStream",
        "Resource": [*groups, *own],
    }
    yield {"Sid": "WriteOwnLogs", "Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": own}


def _address(topology: Topology, server: Server, account: Account) -> Iterator[Statement]:
    if topology.edge is not Edge.FLOATING_EIP or not server.has(Role.LOAD_BALANCER):
        return
    peers = [peer.name for peer in topology.load_balancers]
    stack = {f"aws:ResourceTag/{TAG_STACK}": topology.stack}
    # AssociateAddress is asked about each thing that it touches: the address, the instance and its interface. The
    # interface comes with the instance and has no tags to ask for, so its zone must do.
    yield {
        "Sid": "MoveAddress",
        "Effect": "Allow",
        "Action": "ec2:AssociateAddress",
        "Resource": account.arn("ec2", "elastic-ip/*"),
        "Condition": {"StringEquals": stack},
    }
    yield {
        "Sid": "MoveAddressToLoadBalancer",
        "Effect": "Allow",
        "Action": "ec2:AssociateAddress",
        "Resource": account.arn("ec2", "instance/*"),
        "Condition": {"StringEquals": {**stack, f"aws:ResourceTag/{TAG_SERVER}": peers}},
    }
    yield {
        "Sid": "MoveAddressToInterface",
        "Effect": "Allow",
        "Action": "ec2:AssociateAddress",
        "Resource": account.arn("ec2", "network-interface/*"),
        "Condition": {
            "StringEquals": {"ec2:AvailabilityZone": sorted({peer.zone for peer in topology.load_balancers})}
        },
    }
    # Describing cannot be limited to a resource.
    yield {"Sid": "SeeAddress", "Effect": "Allow", "Action": "ec2:DescribeAddresses", "Resource": "*"}


def _backups(server: Server, account: Account, bucket: str) -> Iterator[Statement]:
    if not server.has(Role.DATABASE):
        return
    arn = f"arn:{account.partition}:s3:::{bucket}"
    yield {"Sid": "ReadBackups", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/*"}
    # Its own only, in any timeline: a server that was broken into must not put something in another's place.
    yield {
        "Sid": "WriteOwnBackups",
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "Resource": [
            f"{arn}/data/????/backups/{server.name}/*",
            f"{arn}/data/????/binlogs/{server.name}/*",
            f"{arn}/drills/{server.name}/*",
        ],
    }
    # Whose turn it is, and which history is the present one: settled by who creates the object first.
    shared = [f"{arn}/data/claims/*", f"{arn}/timelines/*"]
    yield {"Sid": "CreateClaims", "Effect": "Allow", "Action": "s3:PutObject", "Resource": shared}
    yield {
        "Sid": "NeverOverwriteClaims",
        "Effect": "Deny",
        "Action": "s3:PutObject",
        "Resource": shared,
        # S3 user guide, "Enforce conditional writes": the key is absent when the write has no condition.
        "Condition": {"Null": {"s3:if-none-match": "true"}},
    }
    yield {"Sid": "ListBackups", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn}
    # A server that was broken into must not take the backups with it; old versions stay whatever it writes.
    yield {
        "Sid": "NeverDeleteBackups",
        "Effect": "Deny",
        "Action": [
            *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteBucket", "s3:BypassGovernanceRetention"),
            *("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"),
        ],
        "Resource": [arn, f"{arn}/*"],
    }
