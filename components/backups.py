"""The bucket of backups and binary logs: apart from the configuration, and no server can delete from it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.private_bucket import guard
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
    """A private, versioned, encrypted bucket that answers over TLS only; it and all that outlive `pulumi destroy`."""

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:backups:Backups", name, None, opts)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args.bucket,
            # None, not False: a bucket that was never asked for a lock must show no change.
            object_lock_enabled=True if args.backup.object_lock_days else None,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        guarded = guard(
            name,
            bucket,
            arn=f"arn:{args.partition}:s3:::{args.bucket}",
            lifecycle={
                "id": "expire",
                "filter": {"prefix": "data/"},
                "expiration": {"days": args.backup.keep_days},
                "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSIONS_DAYS},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 2},
            },
            parent=self,
            retain=True,
        )
        if args.backup.object_lock_days:
            aws.s3.BucketObjectLockConfiguration(
                f"{name}-lock",
                bucket=bucket.bucket,
                rule={"default_retention": {"mode": "COMPLIANCE", "days": args.backup.object_lock_days}},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[guarded.versioning], retain_on_delete=True),
            )
        self.bucket = guarded.name
        self.register_outputs({"bucket": self.bucket})
