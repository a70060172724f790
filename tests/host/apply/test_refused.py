"""Bundles that apply must refuse: what runs is as it was, and one line says why."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from tests.host.fakes import BUCKET, CFG, CNF, ME, PARAMETER, SERVER, fails, make, upload
from userdata.bundle import File
from userdata.host.errors import (
    EXIT_BUNDLE,
    EXIT_CHECK,
    EXIT_LOCKED,
    EXIT_PACKAGES,
    EXIT_SECRET,
    StepError,
)
from userdata.host.lock import busy, locked


def refused(site, code, *words):
    """Apply must fail with `code`, leave every file and unit alone and name `words` in its line."""
    before, units = site.tree(), {name: unit.active for name, unit in site.machine.units.items()}
    site.machine.log.clear()
    with pytest.raises(StepError) as failure:
        site.apply()
    assert failure.value.code == code
    line = failure.value.line(SERVER)
    assert "\n" not in line
    for word in (SERVER, *words):
        assert word in line
    assert site.tree() == before
    assert {name: unit.active for name, unit in site.machine.units.items()} == units
    assert not [entry for entry in site.machine.log if not entry.startswith("apt-get")]
    assert not list((site.machine.root / "var/tmp").iterdir())
    return line


def test_missing_package_without_a_mirror(applied):
    applied.machine.installed.clear()
    applied.machine.faults.append(fails("apt-get", output="E: Could not resolve 'mirror'"))
    refused(applied, EXIT_PACKAGES, "packages", "haproxy", "Could not resolve")


def test_missing_manifest(site):
    refused(site, EXIT_BUNDLE, "bundle", f"s3://{BUCKET}/servers/{SERVER}/manifest.json", "missing", "pulumi up")


def test_an_object_that_s3_denies_may_be_missing(applied):
    """To a role that may not list the bucket, as ours may not, S3 never says that there is no such key."""
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")
    with patch.object(applied.s3, "get_object", side_effect=denied):
        refused(
            applied, EXIT_BUNDLE, "manifest.json is missing", "may not read it", "AccessDenied", "pulumi up", "policy"
        )


def test_missing_object(applied):
    upload(applied.s3, make(haproxy="new\n", extra=[File("/etc/haproxy/new.map", "x", owner=ME)]))
    applied.s3.delete_object(Bucket=BUCKET, Key=f"servers/{SERVER}/files/etc/haproxy/new.map")
    refused(applied, EXIT_BUNDLE, "bundle", "files/etc/haproxy/new.map", "missing", "pulumi up")


def test_wrong_digest_of_an_object(applied):
    upload(applied.s3, make(haproxy="new\n"))
    applied.s3.put_object(Bucket=BUCKET, Key=f"servers/{SERVER}/files{CFG}", Body=b"tampered\n")
    refused(applied, EXIT_BUNDLE, f"servers/{SERVER}/files{CFG}", "digest")


@pytest.mark.parametrize(
    "spoil,word",
    [
        (lambda text: text.replace("0644", "0666"), "does not match its own digest"),
        (lambda text: text[:100], "not a manifest"),
        (lambda text: "[]", "not a manifest"),
        (lambda text: text.replace('"format":1', '"format":9'), "format 9"),
    ],
    ids=["changed", "cut", "list", "format"],
)
def test_damaged_manifest(applied, spoil, word):
    key = f"servers/{SERVER}/manifest.json"
    applied.s3.put_object(Bucket=BUCKET, Key=key, Body=spoil(make(haproxy="new\n").manifest).encode())
    refused(applied, EXIT_BUNDLE, key, word)


def test_manifest_of_another_server(applied):
    other = make().manifest.replace("server-1", "server-2")
    value = {key: item for key, item in json.loads(other).items() if key != "digest"}
    from userdata.host.manifest import digest

    text = json.dumps({**value, "digest": digest(value)})
    applied.s3.put_object(Bucket=BUCKET, Key=f"servers/{SERVER}/manifest.json", Body=text.encode())
    refused(applied, EXIT_BUNDLE, "dev/server-2", "dev/server-1")


def test_another_bundle_than_expected(applied):
    upload(applied.s3, make(haproxy="new\n"))
    with pytest.raises(StepError, match="not the expected sha256:0000"):
        applied.apply(expect="sha256:0000")


def test_missing_secret(applied):
    applied.ssm.delete_parameter(Name=PARAMETER)
    upload(applied.s3, make(haproxy="new\n"))
    refused(applied, EXIT_SECRET, "secrets", PARAMETER, "missing")


def test_bad_haproxy_configuration(applied):
    upload(applied.s3, make(haproxy="rubbish\n"))
    output = (
        "[NOTICE] version\n[ALERT] (1) : config : parsing [x:1] : unknown keyword 'rubbish'\n[ALERT] : Fatal errors"
    )
    applied.machine.faults.append(fails("haproxy", "-c", output=output))
    line = refused(applied, EXIT_CHECK, "check", "haproxy.service", CFG, "unknown keyword 'rubbish'")
    assert "Fatal" not in line


def test_bad_mysql_configuration(applied):
    upload(applied.s3, make(mysql="[mysqld]\nrubbish=1\n"))
    applied.machine.faults.append(fails("mysqld", output="[ERROR] [MY-000067] unknown variable 'rubbish=1'."))
    refused(applied, EXIT_CHECK, "check", "mysql.service", CNF, "unknown variable")


def test_two_applies_at_once(applied):
    with locked(applied.machine.system):
        assert busy(applied.machine.system)
        refused(applied, EXIT_LOCKED, "lock", "another apply")
    assert not busy(applied.machine.system)


def test_a_staged_tree_that_was_tampered_with_is_refused(applied, tmp_path):
    staging = tmp_path / "staged"
    (staging / "etc/haproxy").mkdir(parents=True)
    (staging / "etc/haproxy/haproxy.cfg").write_text("tampered\n")
    (staging / "manifest.json").write_text(make().manifest)
    from userdata.host.apply import Apply

    with pytest.raises(StepError, match="not what was fetched"):
        Apply(applied.machine.system, applied.identity, applied.s3, applied.ssm).run(staging)
