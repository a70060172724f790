"""The objects of one server's bundle in the emulated S3 and SSM, broken on purpose and put back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import boto3

from rehearsal.drills.stack import Stack
from tests.rehearsal.stack import status
from topology import names
from userdata.host.manifest import digest


class BundleObjects:
    """What the bucket and the parameter store hold for `server`; `restore` undoes every change made through it."""

    def __init__(self, stack: Stack, server: str) -> None:
        found = status(stack)
        self.server = server
        self._clients = {
            service: boto3.client(service, endpoint_url=found["endpoint"], region_name=found["region"])
            for service in ("s3", "ssm")
        }
        buckets = [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]
        (self.bucket,) = [name for name in buckets if self._holds_bundle(name)]
        self._objects: dict[str, bytes] = {}
        self._parameters: dict[str, dict[str, Any]] = {}

    @property
    def s3(self) -> Any:
        return self._clients["s3"]

    @property
    def ssm(self) -> Any:
        return self._clients["ssm"]

    def read(self, path: str) -> str:
        """The content that the bucket holds for a file of the server."""
        return self._get(names.file_key(self.server, path)).decode()

    def damage(self, path: str, content: bytes | None) -> None:
        """Put something else in a file's place, or nothing (None); the manifest stays as it is."""
        self._put(names.file_key(self.server, path), content)

    def publish(self, path: str, content: str) -> None:
        """A bundle that is whole and right in itself, with another content of one file: a fault of its author."""
        key = names.manifest_key(self.server)
        manifest = json.loads(self._get(key))
        manifest["files"][path]["sha256"] = hashlib.sha256(content.encode()).hexdigest()
        manifest["digest"] = digest(manifest)
        self._put(names.file_key(self.server, path), content.encode())
        self._put(key, json.dumps(manifest).encode())

    def remove_secret(self, path: str) -> str:
        """Delete the parameter behind a secret file; its name."""
        manifest = json.loads(self._get(names.manifest_key(self.server)))
        name = str(manifest["secrets"][path]["parameter"])
        self._parameters.setdefault(name, self.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"])
        self.ssm.delete_parameter(Name=name)
        return name

    def restore(self) -> None:
        """Put back what was there before."""
        for key, content in self._objects.items():
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        for name, found in self._parameters.items():
            self.ssm.put_parameter(Name=name, Value=found["Value"], Type=found["Type"], Overwrite=True)

    def _holds_bundle(self, bucket: str) -> bool:
        return bool(self.s3.list_objects_v2(Bucket=bucket, Prefix=names.manifest_key(self.server)).get("Contents"))

    def _get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def _put(self, key: str, content: bytes | None) -> None:
        self._objects.setdefault(key, self._get(key))
        if content is None:
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        else:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
