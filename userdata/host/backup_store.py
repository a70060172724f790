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
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError
from urllib3.exceptions import HTTPError

from .identity import Identity

PART_BYTES = 64 * 1024 * 1024
# An upload has at most 10,000 parts (S3 user guide, "Amazon S3 multipart upload limits"): 671 GB of those. What may be
# larger gets larger ones, with some left for what tar adds.
EXPECTED_PARTS = 9_000
# What is handed on of a part at once.
BLOCK_BYTES = 1024 * 1024
# Seconds before a part is asked for again that broke off: S3 may be away for a minute in the hours of a large backup.
PAUSES = (1.0, 5.0, 20.0, 60.0)
# At once; botocore keeps ten connections.
READERS = 8
READ_AHEAD = 1000
FIRST_TIMELINE = 1

StoreError = (BotoCoreError, ClientError)

log = logging.getLogger("tripod-backup")


class BackupError(RuntimeError):
    """A backup or a restore cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Stored:
    """An object as it was uploaded: size in bytes, SHA-256 (hex) of the whole and of each part."""

    key: str
    size: int
    sha256: str
    parts: tuple[str, ...]
    part_bytes: int = PART_BYTES
    """Size of each part but the last, which has what is left."""

    def to_json(self) -> dict[str, Any]:
        """As manifests hold it."""
        return {
            "key": self.key,
            "size": self.size,
            "sha256": self.sha256,
            "parts": list(self.parts),
            "part_bytes": self.part_bytes,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Stored:
        """The reverse of to_json. KeyError when a field is missing."""
        # What was uploaded before parts had several sizes does not say which.
        part_bytes = int(raw.get("part_bytes", PART_BYTES))
        return cls(raw["key"], int(raw["size"]), raw["sha256"], tuple(raw["parts"]), part_bytes)


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

    def upload(self, key: str, stream: IO[bytes], complete: Callable[[], None], expected: int = 0) -> Stored:
        """Send a stream to its end. Nothing is left in the bucket when it fails.

        `complete` is called at the end of the stream, before the object exists; it raises when the stream ended early.
        `expected` bytes may come, or a tenth more. A part is in memory: 64 MiB, or a 9,000th of what is expected.
        """
        part_bytes = max(self._part_bytes, _whole_mib(expected / EXPECTED_PARTS))
        upload = self._s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        whole, size = hashlib.sha256(), 0
        etags: list[dict[str, Any]] = []
        digests: list[str] = []
        try:
            while True:
                block = _fill(stream, part_bytes)
                if not block and etags:
                    break
                number = len(etags) + 1
                part = {"Bucket": self.bucket, "Key": key, "UploadId": upload, "PartNumber": number}
                etags.append({"PartNumber": number, "ETag": self._s3.upload_part(**part, Body=block)["ETag"]})
                whole.update(block)
                size += len(block)
                digests.append(hashlib.sha256(block).hexdigest())
                if len(block) < part_bytes:
                    break
                del block  # or it would stay while the next one comes
            complete()
            self._s3.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": etags}
            )
        except BaseException:
            self._s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
            raise
        return Stored(key, size, whole.hexdigest(), tuple(digests), part_bytes)

    def download(self, stored: Stored) -> Iterator[bytes]:
        """The object's content in small blocks, those of a part when its digest was found right.

        A part is in memory while it is handed on. Raises BackupError when the object is missing or is not what was
        uploaded; when a part broke off at each of five tries, what reading raised at the last: botocore's errors or
        OSError.
        """
        whole, size = hashlib.sha256(), 0
        for number in range(len(stored.parts)):
            part = self._part(stored, number)
            whole.update(part)
            size += len(part)
            for begin in range(0, len(part), BLOCK_BYTES):
                yield part[begin : begin + BLOCK_BYTES]
            del part  # or it would stay while the next one comes
        if size != stored.size or whole.hexdigest() != stored.sha256:
            raise BackupError(
                f"{self._address(stored)} is corrupt: {size} bytes with SHA-256 {whole.hexdigest()}, "
                f"its manifest says {stored.size} bytes with {stored.sha256}"
            )

    def _address(self, stored: Stored) -> str:
        return f"s3://{self.bucket}/{stored.key}"

    def _part(self, stored: Stored, number: int) -> bytes:
        """One part with the right digest, from as many tries as that takes; of two with a wrong one it is corrupt."""
        pauses, wrong = iter(PAUSES), False
        while True:
            try:
                part = self._read_part(stored, number)
            # botocore's own tries end where the content begins: reading that raises (botocore.response.StreamingBody).
            except (BotoCoreError, OSError) as error:
                trouble, pause = str(error), next(pauses, None)
                if pause is None:
                    raise
            else:
                found, pause = hashlib.sha256(part).hexdigest(), next(pauses, None)
                if found == stored.parts[number]:
                    return part
                trouble = f"it has SHA-256 {found}, its manifest says {stored.parts[number]}"
                if wrong or pause is None:
                    raise BackupError(f"{self._address(stored)} is corrupt: of part {number + 1}, {trouble}")
                wrong = True
            which = f"{stored.key}, part {number + 1} of {len(stored.parts)}"
            log.warning("%s is read again in %g s: %s", which, pause, trouble)
            time.sleep(pause)

    def _read_part(self, stored: Stored, number: int) -> bytes:
        start = number * stored.part_bytes
        length = min(stored.part_bytes, stored.size - start)
        # By its place and not by PartNumber: an older version that was put back is one piece, with the same content.
        # The last one has no end, so that an object which goes on is noticed.
        end = start + length - 1 if number + 1 < len(stored.parts) else ""
        # An empty object has no range at all (S3 answers InvalidRange).
        place = {"Range": f"bytes={start}-{end}"} if len(stored.parts) > 1 else {}
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=stored.key, **place)
            with closing(answer["Body"]) as body:
                # Something else may be larger than the memory.
                if answer["ContentLength"] == length:
                    return bytes(body.read())
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("NoSuchKey", "404"):
                raise BackupError(f"{self._address(stored)} is missing") from error
            if code != "InvalidRange":
                raise
        except HTTPError as error:  # botocore lets some of urllib3's through
            raise ResponseStreamingError(error=error) from error
        raise BackupError(f"{self._address(stored)} is corrupt: its manifest says that it has {stored.size} bytes")


def _whole_mib(size: float) -> int:
    """Bytes: the whole mebibytes in which `size` bytes have room."""
    return math.ceil(size / 1024**2) * 1024**2


def _fill(stream: IO[bytes], size: int) -> bytes:
    """`size` bytes, fewer only at the end: a pipe gives what it has."""
    blocks, missing = [], size
    while missing and (block := stream.read(missing)):
        blocks.append(block)
        missing -= len(block)
    return b"".join(blocks)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
