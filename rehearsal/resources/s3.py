"""The bucket, its settings and its objects."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, physical_name, present, tag_list


@kind("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
class Bucket(Kind):
    """A bucket. `forceDestroy` empties it on deletion, as in the provider."""

    taggable = True
    replace_on = frozenset({"bucket", "bucketPrefix", "objectLockEnabled"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        bucket = physical_name(name, inputs, key="bucket", limit=63)
        s3 = self.aws.client("s3")
        # us-east-1 is the one region that refuses its own name here (S3 API, CreateBucket).
        location: dict[str, Any] = (
            {}
            if self.aws.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self.aws.region}}
        )
        locked = {"ObjectLockEnabledForBucket": True} if inputs.get("objectLockEnabled") else {}
        s3.create_bucket(Bucket=bucket, **location, **locked)
        self._tag(bucket, inputs)
        return Outcome(
            bucket,
            {
                "bucket": bucket,
                "arn": f"arn:aws:s3:::{bucket}",
                "bucketDomainName": f"{bucket}.s3.amazonaws.com",
                "bucketRegionalDomainName": f"{bucket}.s3.{self.aws.region}.amazonaws.com",
                "region": self.aws.region,
            },
        )

    def _tag(self, bucket: str, inputs: Inputs) -> None:
        if tag_list(inputs):
            self.aws.client("s3").put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tag_list(inputs)})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self._tag(resource_id, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        s3 = self.aws.client("s3")
        if inputs.get("forceDestroy"):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=resource_id):
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=resource_id, Key=version["Key"], VersionId=version["VersionId"])
        s3.delete_bucket(Bucket=resource_id)


class Setting(Kind):
    """A setting of a bucket, set again whenever it changes."""

    replace_on = frozenset({"bucket"})

    def put(self, inputs: Inputs) -> None:
        """Make the call that sets it."""
        raise NotImplementedError

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        self.put(inputs)
        return Outcome(inputs["bucket"])

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.put(new)
        return {}


@kind("aws:s3/bucketVersioning:BucketVersioning", "aws:s3/bucketVersioningV2:BucketVersioningV2")
class Versioning(Setting):
    """Whether old versions are kept."""

    def put(self, inputs: Inputs) -> None:
        self.aws.client("s3").put_bucket_versioning(
            Bucket=inputs["bucket"],
            VersioningConfiguration={"Status": inputs["versioningConfiguration"]["status"]},
        )


@kind(
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
)
class Encryption(Setting):
    """Encryption at rest."""

    def put(self, inputs: Inputs) -> None:
        rules = []
        for rule in inputs["rules"]:
            default = rule.get("applyServerSideEncryptionByDefault") or {}
            rules.append(
                present(
                    ApplyServerSideEncryptionByDefault=present(
                        SSEAlgorithm=default.get("sseAlgorithm"), KMSMasterKeyID=default.get("kmsMasterKeyId")
                    ),
                    BucketKeyEnabled=rule.get("bucketKeyEnabled"),
                )
            )
        self.aws.client("s3").put_bucket_encryption(
            Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules}
        )


@kind("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
class PublicAccessBlock(Setting):
    """What keeps a bucket private."""

    def put(self, inputs: Inputs) -> None:
        self.aws.client("s3").put_public_access_block(
            Bucket=inputs["bucket"],
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": bool(inputs.get("blockPublicAcls")),
                "BlockPublicPolicy": bool(inputs.get("blockPublicPolicy")),
                "IgnorePublicAcls": bool(inputs.get("ignorePublicAcls")),
                "RestrictPublicBuckets": bool(inputs.get("restrictPublicBuckets")),
            },
        )


@kind("aws:s3/bucketPolicy:BucketPolicy")
class BucketPolicy(Setting):
    """Who may do what with a bucket."""

    def put(self, inputs: Inputs) -> None:
        self.aws.client("s3").put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("s3").delete_bucket_policy(Bucket=resource_id)


@kind("aws:s3/bucketOwnershipControls:BucketOwnershipControls")
class OwnershipControls(Setting):
    """Who owns the objects."""

    def put(self, inputs: Inputs) -> None:
        self.aws.client("s3").put_bucket_ownership_controls(
            Bucket=inputs["bucket"],
            OwnershipControls={"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]},
        )


@kind(
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2",
)
class Lifecycle(Setting):
    """When old versions go."""

    def put(self, inputs: Inputs) -> None:
        rules = []
        for rule in inputs["rules"]:
            noncurrent = rule.get("noncurrentVersionExpiration") or {}
            expiration = rule.get("expiration") or {}
            abort = rule.get("abortIncompleteMultipartUpload") or {}
            rules.append(
                present(
                    ID=rule["id"],
                    Status=rule["status"],
                    Filter={"Prefix": (rule.get("filter") or {}).get("prefix") or ""},
                    NoncurrentVersionExpiration=present(
                        NoncurrentDays=_whole(noncurrent.get("noncurrentDays")),
                        NewerNoncurrentVersions=_whole(noncurrent.get("newerNoncurrentVersions")),
                    )
                    or None,
                    Expiration=present(Days=_whole(expiration.get("days"))) or None,
                    AbortIncompleteMultipartUpload=present(DaysAfterInitiation=_whole(abort.get("daysAfterInitiation")))
                    or None,
                )
            )
        self.aws.client("s3").put_bucket_lifecycle_configuration(
            Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": rules}
        )


@kind(
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
    "aws:s3/bucketObjectLockConfigurationV2:BucketObjectLockConfigurationV2",
)
class ObjectLock(Setting):
    """For how long nobody can delete an object."""

    def put(self, inputs: Inputs) -> None:
        retention = inputs["rule"]["defaultRetention"]
        self.aws.client("s3").put_object_lock_configuration(
            Bucket=inputs["bucket"],
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": retention["mode"], "Days": int(retention["days"])}},
            },
        )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


@kind("aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject")
class BucketObject(Kind):
    """An object. `content` is text; `source` is an asset, which the engine has turned into path or text."""

    taggable = True
    replace_on = frozenset({"bucket", "key"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        key = inputs.get("key") or name
        return Outcome(key, {"key": key, **self._put(key, inputs)})

    def _put(self, key: str, inputs: Inputs) -> Outputs:
        body = self._body(inputs)
        answer = self.aws.client("s3").put_object(
            Bucket=inputs["bucket"],
            Key=key,
            Body=body,
            **present(
                ContentType=inputs.get("contentType"),
                ServerSideEncryption=inputs.get("serverSideEncryption"),
                CacheControl=inputs.get("cacheControl"),
            ),
        )
        return {
            "etag": answer["ETag"].strip('"'),
            "versionId": answer.get("VersionId", ""),
            "arn": f"arn:aws:s3:::{inputs['bucket']}/{key}",
            "checksumSha256": hashlib.sha256(body).hexdigest(),
        }

    def _body(self, inputs: Inputs) -> bytes:
        if inputs.get("content") is not None:
            return str(inputs["content"]).encode()
        if inputs.get("contentBase64") is not None:
            return base64.b64decode(inputs["contentBase64"])
        source = inputs.get("source") or {}
        if source.get("path"):
            return Path(self.aws.project, source["path"]).read_bytes()
        return str(source.get("text", "")).encode()

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return self._put(resource_id, new)

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("s3").delete_object(Bucket=inputs["bucket"], Key=resource_id)
