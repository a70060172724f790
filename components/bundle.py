"""The stack's bucket, and in it one object per configuration file of a server and a manifest of them."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.private_bucket import guard
from topology import names
from topology.model import Server
from userdata.bundle import Bundle, File

# Long enough to look at what a server ran before the last few changes.
OLD_VERSIONS_DAYS = 90


@dataclass(frozen=True)
class BucketArgs:
    """What the bucket needs to know: its full name and the AWS partition (`aws`, `aws-cn`, `aws-us-gov`)."""

    bucket: str
    partition: str


class Bucket(pulumi.ComponentResource):
    """A private, versioned, encrypted bucket that answers over TLS only.

    `bucket` is its name, from the last of the settings that must be there before the first object is: whoever names
    the bucket waits for them.
    """

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:bundle:Bucket", name, None, opts)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args.bucket,
            # It holds only what this program can render again: `pulumi destroy` may empty it, old versions too.
            force_destroy=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        guarded = guard(
            name,
            bucket,
            arn=f"arn:{args.partition}:s3:::{args.bucket}",
            lifecycle={
                "id": "old-versions",
                "filter": {"prefix": ""},
                "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSIONS_DAYS},
                "expiration": {"expired_object_delete_marker": True},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            },
            parent=self,
        )
        self.bucket = guarded.name
        self.register_outputs({"bucket": self.bucket})


TEXT = "text/plain; charset=utf-8"


class Object(pulumi.CustomResource):
    """An S3 object as `aws.s3.BucketObjectv2` registers it, with the four properties that Tripod uses.

    The SDK's class makes futures for thirty more, which was more than half of the time of evaluating a large stack
    (6.3 ms instead of 2.8 ms a resource with 20 servers).
    """

    def __init__(
        self,
        name: str,
        *,
        bucket: pulumi.Input[str],
        key: str,
        content: str,
        content_type: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {"bucket": bucket, "key": key, "content": content, "contentType": content_type}
        super().__init__("aws:s3/bucketObjectv2:BucketObjectv2", name, inputs, opts)


@dataclass(frozen=True)
class ProgramsArgs:
    """What the shared programs need to know."""

    bucket: Bucket


class Programs(pulumi.ComponentResource):
    """The host programs and the application: the same on every server that has them, so stored once for the stack.

    An object's key holds the digest of its content: a change makes a new object, and whoever still has the old
    manifest never sees half of it.
    """

    def __init__(self, name: str, args: ProgramsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:bundle:Programs", name, None, opts)
        self._name = name
        self._bucket = args.bucket.bucket
        self._objects: dict[str, Object] = {}
        self.register_outputs({})

    def of(self, server: Server, bundle: Bundle) -> list[Object]:
        """The objects that a server's manifest names, made when the first server asks for them."""
        return [self._object(file, file.key(server.name)) for file in bundle.shared_files]

    def _object(self, file: File, key: str) -> Object:
        if key not in self._objects:
            self._objects[key] = Object(
                f"{self._name}-{file.path.lstrip('/')}",
                bucket=self._bucket,
                key=key,
                content=file.content,
                content_type=TEXT,
                opts=pulumi.ResourceOptions(parent=self),
            )
        return self._objects[key]


@dataclass(frozen=True)
class ServerBundleArgs:
    """What the objects of one server need to know."""

    server: Server
    bundle: Bundle
    bucket: Bucket
    programs: Programs


class ServerBundle(pulumi.ComponentResource):
    """One object per file and the manifest, which is written last: what it names is always there.

    `manifest` is the object that a server's first boot must wait for.
    """

    manifest: Object

    def __init__(self, name: str, args: ServerBundleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:bundle:ServerBundle", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        server, bucket = args.server.name, args.bucket.bucket
        files = [
            Object(
                f"{name}-{file.path.lstrip('/')}",
                bucket=bucket,
                key=file.key(server),
                content=file.content,
                content_type=TEXT,
                opts=child,
            )
            for file in args.bundle.files
            if not file.shared
        ]
        files += args.programs.of(args.server, args.bundle)
        self.manifest = Object(
            f"{name}-manifest",
            bucket=bucket,
            key=names.manifest_key(server),
            content=args.bundle.manifest,
            content_type="application/json",
            opts=pulumi.ResourceOptions(parent=self, depends_on=files),
        )
        self.register_outputs({"digest": args.bundle.digest})
