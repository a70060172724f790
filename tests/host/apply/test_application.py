"""The stack's own application: fetched once, unpacked only with the right digest."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from tests.host.fakes import BUCKET
from userdata.host.application import provide
from userdata.host.errors import StepError

URL = f"s3://{BUCKET}/site.tar.gz"


def archive(name="serve"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 2
        entry.mode = 0o755
        tar.addfile(entry, io.BytesIO(b"hi"))
    return buffer.getvalue()


def put(site, content):
    site.s3.put_object(Bucket=BUCKET, Key="site.tar.gz", Body=content)
    return hashlib.sha256(content).hexdigest()


def test_fetched_once(site):
    digest = put(site, archive())
    place = provide(site.machine.system, URL, digest, site.s3)
    assert (place / "serve").read_text() == "hi"
    assert provide(site.machine.system, URL, digest, None) == place


@pytest.mark.parametrize(
    "content,expected,word",
    [
        (archive(), "0" * 64, "has digest"),
        (b"no archive", None, "cannot be unpacked"),
        (archive("../out"), None, "unpack"),
    ],
    ids=["digest", "not an archive", "leads out"],
)
def test_refused(site, content, expected, word):
    digest = put(site, content)
    with pytest.raises(StepError, match=word):
        provide(site.machine.system, URL, expected or digest, site.s3)
    assert not list((site.machine.root / "opt/tripod/artifact").iterdir())


def test_missing(site):
    with pytest.raises(StepError, match=r"s3://.*/site\.tar\.gz cannot be fetched"):
        provide(site.machine.system, URL, "0" * 64, site.s3)
