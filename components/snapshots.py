"""Daily EBS snapshots of the data volumes, by Amazon Data Lifecycle Manager.

A second way back, which needs none of our own code: a volume made from a snapshot holds what a power cut would have
left, and MySQL recovers it. It reaches no exact transaction; the backups in S3 do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from topology.model import Topology
from topology.names import TAG_DATA

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "dlm.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


@dataclass(frozen=True)
class SnapshotsArgs:
    """Whose volumes, how many snapshots of each, when (an hour after the nightly backup), and the AWS partition."""

    topology: Topology
    partition: str


class Snapshots(pulumi.ComponentResource):
    """A policy for the volumes tagged with this stack, and the role that it works with; nothing for 0 snapshots."""

    def __init__(self, name: str, args: SnapshotsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:snapshots:Snapshots", name, None, opts)
        backup, stack = args.topology.backup, args.topology.stack
        child = pulumi.ResourceOptions(parent=self)
        if backup.snapshots:
            role = aws.iam.Role(f"{name}-role", assume_role_policy=TRUST, opts=child)
            policy = aws.iam.RolePolicy(
                f"{name}-policy", role=role.name, policy=_policy(stack, args.partition), opts=child
            )
            aws.dlm.LifecyclePolicy(
                f"{name}-lifecycle",
                # Letters, digits, spaces, "_" and "-" only, at most 500 (DLM API, Description).
                description=f"Tripod {stack} data volumes",
                execution_role_arn=role.arn,
                state="ENABLED",
                policy_details={
                    "resource_types": ["VOLUME"],
                    "target_tags": {TAG_DATA: stack},
                    "schedules": [
                        {
                            "name": "daily",
                            "create_rule": {
                                "interval": 24,
                                "interval_unit": "HOURS",
                                "times": f"{(backup.hour + 1) % 24:02d}:00",
                            },
                            "retain_rule": {"count": backup.snapshots},
                            "copy_tags": True,
                        }
                    ],
                },
                opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
            )
        self.register_outputs({})


def _policy(stack: str, partition: str) -> str:
    """What AWSDataLifecycleManagerServiceRole allows, less: only this stack's volumes, and deleting what DLM made.

    The service finds volumes by describing, which cannot be limited to a resource.
    """
    mine = {"StringEquals": {f"aws:ResourceTag/{TAG_DATA}": stack}}
    statements: list[dict[str, object]] = [
        {"Sid": "See", "Effect": "Allow", "Action": ["ec2:DescribeVolumes", "ec2:DescribeSnapshots"], "Resource": "*"},
        {
            "Sid": "SnapshotOwnVolumes",
            "Effect": "Allow",
            "Action": "ec2:CreateSnapshot",
            "Resource": f"arn:{partition}:ec2:*:*:volume/*",
            "Condition": mine,
        },
        # The snapshot has no tags before it exists.
        {
            "Sid": "MakeSnapshots",
            "Effect": "Allow",
            "Action": "ec2:CreateSnapshot",
            "Resource": f"arn:{partition}:ec2:*::snapshot/*",
        },
        # As in AWS's policy, without ec2:CreateAction, which allows it within CreateSnapshot only: nothing says that
        # DLM never tags a snapshot that is there.
        {
            "Sid": "TagSnapshots",
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": f"arn:{partition}:ec2:*::snapshot/*",
        },
        {
            "Sid": "DeleteOwnSnapshots",
            "Effect": "Allow",
            "Action": "ec2:DeleteSnapshot",
            "Resource": f"arn:{partition}:ec2:*::snapshot/*",
            "Condition": mine,
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
