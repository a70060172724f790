"""The bucket of backups: its layout, and streams that are written and read with their digests.

    timelines/0002.json                                    written when a stack is restored: what came after is another
                                                           history, in which GTIDs are used again (backup_timeline)
    data/claims/led-0002.json                              somebody led a group on what was restored
    data/claims/2026-11-23T02.json                         whose turn it is to make that hour's backup
    data/claims/drill-2026-11-23T05.json                   whose turn it is to make that hour's restore drill
    data/0001/backups/SERVER/ID/data.tar.zst, manifest.json    a backup exists when its manifest does
    data/0001/binlogs/SERVER/UUID/NAME-DIGEST.zst, .json   one closed binary log, and what is in it
    drills/SERVER/TIME.json                                what a restore drill found

Nothing is ever overwritten or deleted: names hold a digest or a time, and lifecycle rules end their days.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from .identity import Identity

# A multipart upload has at most 10,000 parts (S3 user guide): 640 GB.
PART_BYTES = 64 * 1024 * 1024
# At once; botocore keeps ten connections.
READERS = 8
READ_AHEAD = 1000
FIRST_TIMELINE = 1

StoreError = (BotoCoreError, ClientError)


class BackupError(RuntimeError):
    """A backup or a restore cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Stored:
    """An object as it was uploaded: size in bytes, SHA-256 (hex) of the whole and of each part."""

    key: str
    size: int
    sha256: str
    parts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As manifests hold it."""
        return {"key": self.key, "size": self.size, "sha256": self.sha256, "parts": list(self.parts)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Stored:
        """The reverse of to_json. KeyError when a field is missing."""
        return cls(raw["key"], int(raw["size"]), raw["sha256"], tuple(raw["parts"]))


def bucket_of(identity: Identity) -> str:
    """The bucket of backups (the same as topology.names.backup_bucket), from the name of the stack's own."""
    prefix = f"tripod-{identity.stack}-"
    return f"{prefix}bk-{identity.bucket.removeprefix(prefix)}"


class Store:
    """One stack's bucket of backups. Every call raises botocore's errors."""

    def __init__(self, bucket: str, client: Any, part_bytes: int = PART_BYTES) -> None:
        self.bucket = bucket
        self._s3 = client
        self._part_bytes = part_bytes

    def keys(self, prefix: str) -> list[str]:
        """Keys below `prefix`, sorted."""
        return [key for key, _ in self.listing(prefix)]

    def any(self, prefix: str) -> bool:
        """Whether anything is below `prefix`."""
        return next(self.listing(prefix), None) is not None

    def listing(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Keys below `prefix`, sorted, each with when it was written (seconds since 1970, S3's clock)."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"], item["LastModified"].timestamp()

    def timeline(self) -> int:
        """The number of the present timeline."""
        numbers = [int(key.split("/")[1].removesuffix(".json")) for key in self.keys("timelines/")]
        return max([FIRST_TIMELINE, *numbers])

    def begin_timeline(self, value: dict[str, Any]) -> int:
        """Begin the next timeline; its number. BackupError when another restore began it at the same time."""
        number = self.timeline() + 1
        key = f"timelines/{number:04d}.json"
        # An answer may be lost: botocore then tries again, and is told that the object is there already. It is ours.
        if not self.create(key, value) and self.find(key) != value:
            raise BackupError(f"another restore began timeline {number} at this moment; wait for its end")
        return number

    def create(self, key: str, value: dict[str, Any]) -> bool:
        """Write JSON where nothing is yet; False when something is."""
        try:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=_json(value), IfNoneMatch="*")
        except ClientError as error:
            # 409: somebody else is writing the same key at this moment.
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Write JSON."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=_json(value))

    def find(self, key: str) -> dict[str, Any] | None:
        """Read JSON; None when nothing is there. BackupError when it is damaged."""
        return self.read(key) if key in self.keys(key) else None

    def read(self, key: str) -> dict[str, Any]:
        """Read JSON. BackupError when it is damaged."""
        body = self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        try:
            value: dict[str, Any] = json.loads(body)
        except ValueError as error:
            raise BackupError(f"s3://{self.bucket}/{key} is not JSON: {error}") from error
        return value

    def read_each(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Read JSON of many keys, in their order, some ahead. BackupError when one is damaged."""
        with ThreadPoolExecutor(READERS) as pool:
            for first in range(0, len(keys), READ_AHEAD):
                yield from pool.map(self.read, keys[first : first + READ_AHEAD])

    def upload(self, key: str, stream: IO[bytes], complete: Callable[[], None]) -> Stored:
        """Send a stream to its end. Nothing is left in the bucket when it fails.

        `complete` is called at the end of the stream, before the object exists; it raises when the stream ended early.
        """
        upload = self._s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        whole, size = hashlib.sha256(), 0
        etags: list[dict[str, Any]] = []
        digests: list[str] = []
        try:
            while True:
                block = _fill(stream, self._part_bytes)
                if not block and etags:
                    break
                number = len(etags) + 1
                part = {"Bucket": self.bucket, "Key": key, "UploadId": upload, "PartNumber": number}
                etags.append({"PartNumber": number, "ETag": self._s3.upload_part(**part, Body=block)["ETag"]})
                whole.update(block)
                size += len(block)
                digests.append(hashlib.sha256(block).hexdigest())
                if len(block) < self._part_bytes:
                    break
            complete()
            self._s3.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": etags}
            )
        except BaseException:
            self._s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
            raise
        return Stored(key, size, whole.hexdigest(), tuple(digests))

    def download(self, stored: Stored) -> Iterator[bytes]:
        """The object's content. BackupError when it is missing or, at its end, when it is not what was uploaded."""
        address = f"s3://{self.bucket}/{stored.key}"
        try:
            body = self._s3.get_object(Bucket=self.bucket, Key=stored.key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise BackupError(f"{address} is missing") from error
            raise
        whole, size = hashlib.sha256(), 0
        for block in body.iter_chunks(1024 * 1024):
            whole.update(block)
            size += len(block)
            yield block
        if size != stored.size or whole.hexdigest() != stored.sha256:
            raise BackupError(
                f"{address} is corrupt: {size} bytes with SHA-256 {whole.hexdigest()}, "
                f"its manifest says {stored.size} bytes with {stored.sha256}"
            )


def _fill(stream: IO[bytes], size: int) -> bytes:
    """`size` bytes, fewer only at the end: a pipe gives what it has."""
    blocks, missing = [], size
    while missing and (block := stream.read(missing)):
        blocks.append(block)
        missing -= len(block)
    return b"".join(blocks)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
