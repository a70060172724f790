"""What makes an S3 bucket of a stack private, versioned and encrypted, and lets it answer over TLS only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class Guarded:
    """A guarded bucket. `name` is there once all that must come before the first object is, `versioning` included."""

    name: pulumi.Output[str]
    versioning: aws.s3.BucketVersioning


def guard(
    name: str,
    bucket: aws.s3.Bucket,
    *,
    arn: str,
    lifecycle: Mapping[str, object],
    parent: pulumi.Resource,
    retain: bool = False,
) -> Guarded:
    """Close `bucket` to the public and to plain HTTP, encrypt and version it, and give it its one lifecycle rule.

    `retain`: the bucket outlives `pulumi destroy`, so what guards it must, too. Each guard is a resource of its own;
    deleting it takes its setting from the bucket.
    """
    child = pulumi.ResourceOptions(parent=parent, retain_on_delete=retain)
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
        rules=[{"status": "Enabled", **lifecycle}],  # type: ignore[list-item]
        # S3 wants to know first that there are versions.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[versioned], retain_on_delete=retain),
    )
    policy = aws.s3.BucketPolicy(
        f"{name}-tls-only",
        bucket=bucket.bucket,
        policy=json.dumps(_tls_only(arn)),
        # After the block of public access: S3 refuses two changes of a bucket's access at once.
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[private, owned, encrypted, versioned], retain_on_delete=retain
        ),
    )
    return Guarded(policy.bucket, versioned)


def _tls_only(arn: str) -> dict[str, object]:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "DenyWithoutTls", **deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "DenyOldTls", **deny, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ],
    }
