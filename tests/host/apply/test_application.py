"""The stack's own application: fetched once, unpacked only with the right digest."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from tests.host.fakes import BUCKET
from userdata.host import application
from userdata.host.application import FACTS, provide, stage
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


def artifacts(site):
    return {path.name for path in (site.machine.root / "opt/tripod/artifact").iterdir()}


def apply(site, word):
    """Stage the artifact that holds `word`, as a check does, then apply its facts; its digest."""
    digest = put(site, archive(word))
    facts = {"artifact": URL, "sha256": digest}
    stage(site.machine.system, facts, site.s3)
    applied = site.machine.system.path(FACTS)
    applied.parent.mkdir(parents=True, exist_ok=True)
    applied.write_text(json.dumps(facts))
    return digest


def test_the_present_and_the_previous_artifact_stay(site):
    first = apply(site, "first")
    second = apply(site, "second")
    assert artifacts(site) == {first, second}
    apply(site, "second")
    assert artifacts(site) == {first, second}, "another apply with the same artifact is no reason to lose one"
    refused = put(site, archive("refused"))
    stage(site.machine.system, {"artifact": URL, "sha256": refused}, site.s3)
    assert artifacts(site) == {second, refused}
    third = apply(site, "third")
    assert artifacts(site) == {second, third}, "what runs stays, whatever was staged since"


def test_what_was_cut_off_goes_and_what_cannot_go_is_told(site, monkeypatch, capsys):
    first = apply(site, "first")
    place = site.machine.root / "opt/tripod/artifact"
    (place / f".{'0' * 64}.tar.gz").touch()
    (place / f".{'1' * 64}").mkdir()
    (place / ("2" * 64)).mkdir()
    remove = application.shutil.rmtree

    def refuse(path, **options):
        if path.name == "2" * 64:
            raise PermissionError(13, "Permission denied")
        remove(path, **options)

    monkeypatch.setattr(application.shutil, "rmtree", refuse)
    second = apply(site, "second")
    assert artifacts(site) == {first, second, "2" * 64}
    assert "Permission denied" in capsys.readouterr().err
