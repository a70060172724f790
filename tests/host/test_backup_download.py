"""Objects of many parts: read part by part, each again when it breaks off, and none handed on unseen."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from botocore.response import StreamingBody
from moto import mock_aws
from urllib3 import exceptions as urllib3

from userdata.host import backup
from userdata.host.backup_store import PART_BYTES, PAUSES, BackupError, Store, Stored

MIB = 1024 * 1024
# The least that S3 takes of a part but the last.
PART = 5 * MIB
CONTENT = b"".join(bytes([number]) * PART for number in range(1, 4))[: 2 * PART + 7]
WHOLE, MIDDLE, LAST = f"bytes=0-{PART - 1}", f"bytes={PART}-{2 * PART - 1}", f"bytes={2 * PART}-"


class Stream(io.BytesIO):
    """A body that breaks off after a megabyte: with an error, or as if it had ended."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(CONTENT[:MIB])
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        if self._error:
            raise self._error
        return super().read(size)


@dataclass
class S3:
    """moto's S3. `troubles` come one by one, each when the middle part is asked for; `asked` has all ranges."""

    client: Any
    asked: list[str | None] = field(default_factory=list)
    troubles: list[Exception | str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def get_object(self, **place: Any) -> dict[str, Any]:
        self.asked.append(place.get("Range"))
        answer = self.client.get_object(**place)
        if place.get("Range") == MIDDLE and self.troubles:
            trouble = self.troubles.pop(0)
            if isinstance(trouble, EndpointConnectionError):
                raise trouble
            if trouble == "damaged":
                answer["Body"] = StreamingBody(io.BytesIO(bytes(PART)), PART)
            else:
                answer["Body"] = StreamingBody(Stream(trouble if isinstance(trouble, Exception) else None), PART)
        return answer


@pytest.fixture
def s3() -> Iterator[S3]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="backups")
        yield S3(client)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture
def store(s3: S3) -> Store:
    return Store("backups", s3, part_bytes=PART)


@pytest.fixture
def stored(store: Store) -> Stored:
    return store.upload("one", io.BytesIO(CONTENT), lambda: None)


@pytest.mark.parametrize(
    "trouble",
    [
        urllib3.ProtocolError("Connection broken: ConnectionResetError(104, 'Connection reset by peer')"),
        urllib3.ReadTimeoutError(None, "https://s3", "Read timed out."),
        urllib3.SSLError("bad record mac"),
        ConnectionResetError(104, "Connection reset by peer"),
        "ends early",
        "damaged",
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
    ids=lambda trouble: trouble if isinstance(trouble, str) else type(trouble).__name__,
)
def test_of_what_breaks_off_one_part_is_read_again(
    s3: S3, store: Store, stored: Stored, waited: list[float], trouble: Exception | str
):
    s3.troubles = [trouble]
    assert b"".join(store.download(stored)) == CONTENT
    assert s3.asked == [WHOLE, MIDDLE, MIDDLE, LAST]
    assert waited == [PAUSES[0]]


@pytest.mark.parametrize(
    "trouble, raised",
    [
        (urllib3.ProtocolError("reset"), ResponseStreamingError),
        (urllib3.ReadTimeoutError(None, "https://s3", "late"), ReadTimeoutError),
        (urllib3.SSLError("bad record mac"), ResponseStreamingError),
        ("ends early", IncompleteReadError),
    ],
)
def test_a_part_that_breaks_off_again_and_again_ends_it(
    s3: S3, store: Store, stored: Stored, waited: list[float], trouble: Exception | str, raised: type[Exception]
):
    """Not a BackupError: nothing is wrong with the backup."""
    s3.troubles = [trouble] * 10
    with pytest.raises(raised):
        list(store.download(stored))
    assert s3.asked == [WHOLE, *[MIDDLE] * 5]
    assert waited == list(PAUSES) == sorted(PAUSES)


def test_nothing_of_a_part_is_handed_on_before_its_digest_is_known(s3: S3, store: Store, stored: Stored, waited: Any):
    s3.troubles = ["damaged", "damaged"]
    came = []
    with pytest.raises(BackupError, match=r"s3://backups/one is corrupt: of part 2,"):
        came.extend(store.download(stored))
    assert b"".join(came) == CONTENT[:PART]
    assert max(map(len, came)) == MIB, "whole parts would be in memory twice"
    assert len(waited) == 1


@pytest.mark.parametrize(
    "there", [CONTENT + b"more", CONTENT[:-1], CONTENT[:PART], b""], ids=["longer", "shorter", "a part", "empty"]
)
def test_an_object_of_another_size_is_corrupt(s3: S3, store: Store, stored: Stored, waited: Any, there: bytes):
    s3.put_object(Bucket="backups", Key="one", Body=there)
    with pytest.raises(BackupError, match="s3://backups/one is corrupt"):
        list(store.download(stored))


def test_an_object_that_was_put_back_in_one_piece_is_what_it_was(s3: S3, store: Store, stored: Stored):
    """As docs/restore.md says to do with an older version: S3 knows its parts no more."""
    s3.put_object(Bucket="backups", Key="one", Body=CONTENT)
    assert b"".join(store.download(stored)) == CONTENT


def test_a_manifest_that_does_not_say_the_size_of_parts_has_the_size_of_its_time(stored: Stored):
    raw = stored.to_json()
    assert Stored.from_json(raw) == stored
    assert stored.part_bytes == PART
    del raw["part_bytes"]
    assert Stored.from_json(raw).part_bytes == PART_BYTES == 64 * MIB


def test_the_parts_of_a_large_object_are_as_large_as_ten_thousand_have_to_be(s3: S3, store: Store):
    """64 MiB each would be 671 GB: the last part of a larger backup would be refused, every night."""
    expected = 9_000 * 6 * MIB
    stored = store.upload("large", io.BytesIO(CONTENT), lambda: None, expected)
    assert (stored.part_bytes, len(stored.parts)) == (6 * MIB, 2)
    assert b"".join(store.download(stored)) == CONTENT
    assert store.upload("more", io.BytesIO(b""), lambda: None, expected + 1).part_bytes == 7 * MIB
    assert store.upload("small", io.BytesIO(b""), lambda: None, 9_000 * MIB).part_bytes == PART
    assert Store("backups", s3).upload("a terabyte", io.BytesIO(b""), lambda: None, 10**12).part_bytes == 106 * MIB


def test_a_backup_says_how_large_it_may_become(store: Store, tmp_path: Path):
    (tmp_path / "ibdata1").write_bytes(b"data")
    stored = backup._send(store, "backup", SimpleNamespace(data=tmp_path), 9_000 * 6 * MIB)
    assert stored.part_bytes == 6 * MIB
