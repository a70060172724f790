"""The bucket of backups and binary logs: apart from the configuration, and no server can delete from it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from topology.model import Backup

# What was overwritten, or deleted by a person, can be had back for this long.
OLD_VERSIONS_DAYS = 30


@dataclass(frozen=True)
class BackupsArgs:
    """The bucket's full name, the AWS partition, and for how long its objects are kept and locked."""

    bucket: str
    partition: str
    backup: Backup


class Backups(pulumi.ComponentResource):
    """A private, versioned, encrypted bucket that answers over TLS only and outlives `pulumi destroy`."""

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:backups:Backups", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args.bucket,
            # None, not False: a bucket that was never asked for a lock must show no change.
            object_lock_enabled=True if args.backup.object_lock_days else None,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        private = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        owned = aws.s3.BucketOwnershipControls(
            f"{name}-ownership", bucket=bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.bucket,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        versioned = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.bucket,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": "data/"},
                    "expiration": {"days": args.backup.keep_days},
                    "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSIONS_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 2},
                }
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioned]),
        )
        if args.backup.object_lock_days:
            aws.s3.BucketObjectLockConfiguration(
                f"{name}-lock",
                bucket=bucket.bucket,
                rule={"default_retention": {"mode": "COMPLIANCE", "days": args.backup.object_lock_days}},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[versioned]),
            )
        policy = aws.s3.BucketPolicy(
            f"{name}-tls-only",
            bucket=bucket.bucket,
            policy=json.dumps(_tls_only(f"arn:{args.partition}:s3:::{args.bucket}")),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[private, owned, encrypted, versioned]),
        )
        self.bucket = policy.bucket
        self.register_outputs({"bucket": self.bucket})


def _tls_only(arn: str) -> dict[str, object]:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "DenyWithoutTls", **deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "DenyOldTls", **deny, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ],
    }
