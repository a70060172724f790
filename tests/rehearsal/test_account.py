"""Stand-ins for what a stack expects in its AWS account: hosted zone, certificate, artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rehearsal import account
from rehearsal.shell import RehearsalError
from tests.rehearsal.control_plane import Emulated, emulated
from tests.userdata.topologies import OWN_APPLICATION, build, preset
from topology.model import Topology

ZONE = "Z0123456789ABC"
PROVIDED = {"mode": "provided", "certificateParameter": "/example/tls/cert", "keyParameter": "/example/tls/key"}


@pytest.fixture(scope="module")
def service() -> Iterator[Emulated]:
    with emulated() as running:
        yield running


@pytest.fixture
def aws(service: Emulated) -> Emulated:
    service.reset()
    return service


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    file = tmp_path / "site.tar.gz"
    file.write_bytes(b"an artifact")
    return file


def own(artifact: Path) -> Topology:
    """A stack with an application of its own, which is this file."""
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return build(preset="reference", application=OWN_APPLICATION | {"sha256": digest})


def test_a_stack_without_expectations_gets_nothing(aws: Emulated) -> None:
    account.check(preset("reference"), None, fresh=True)
    assert account.provide(preset("reference"), aws.client, None) == ""
    assert not aws.client("route53").list_hosted_zones()["HostedZones"]
    assert not aws.client("s3").list_buckets()["Buckets"]


def test_the_hosted_zone_has_the_id_that_the_stack_names(aws: Emulated) -> None:
    topology = build(preset="active-active", domain="www.example.org", hostedZoneId=ZONE)
    for _ in range(2):
        account.provide(topology, aws.client, None)
    (zone,) = aws.client("route53").list_hosted_zones()["HostedZones"]
    assert zone["Id"] == f"/hostedzone/{ZONE}"
    assert zone["Name"] == "www.example.org."


def test_another_zone_gets_an_id_of_its_own(aws: Emulated) -> None:
    made = aws.client("route53").create_hosted_zone(Name="example.org", CallerReference="any reference")
    assert made["HostedZone"]["Id"] not in (f"/hostedzone/{ZONE}", "/hostedzone/any reference")


def test_a_provided_certificate_is_made_once_and_valid_for_domain_and_localhost(aws: Emulated) -> None:
    topology = build(preset="reference", domain="www.example.org", tls=PROVIDED)
    text = account.provide(topology, aws.client, None)
    assert account.provide(topology, aws.client, None) == text
    certificate = x509.load_pem_x509_certificate(text.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.org", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    parameter = aws.client("ssm").get_parameter(Name="/example/tls/key", WithDecryption=True)["Parameter"]
    assert parameter["Type"] == "SecureString"
    key = load_pem_private_key(parameter["Value"].encode(), None)
    assert key.public_key() == certificate.public_key()


def test_an_artifact_is_stored_where_the_stack_looks_for_it(aws: Emulated, artifact: Path) -> None:
    topology = own(artifact)
    account.check(topology, artifact, fresh=True)
    for given in (artifact, artifact, None):
        account.provide(topology, aws.client, given)
    stored = aws.client("s3").get_object(Bucket="example-artifacts", Key="site-1.2.3.tar.gz")["Body"].read()
    assert stored == artifact.read_bytes()


def test_secrets_of_the_application_get_a_stand_in_unless_they_are_there(aws: Emulated, artifact: Path) -> None:
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/example/api-key", Value="a real one", Type="SecureString")
    for _ in range(2):
        account.provide(own(artifact), aws.client, artifact)
    found = ssm.get_parameters(Names=["/example/api-key", "/example/mail-password"], WithDecryption=True)["Parameters"]
    assert {one["Name"]: (one["Type"], one["Value"]) for one in found} == {
        "/example/api-key": ("SecureString", "a real one"),
        "/example/mail-password": ("SecureString", account.STAND_IN),
    }


def test_a_missing_artifact_is_told_before_anything_starts(aws: Emulated, artifact: Path) -> None:
    topology = own(artifact)
    with pytest.raises(RehearsalError, match="give the file with --artifact"):
        account.check(topology, None, fresh=True)
    account.check(topology, None, fresh=False)
    with pytest.raises(RehearsalError, match="give the file with --artifact"):
        account.provide(topology, aws.client, None)


def test_a_wrong_artifact_is_told_with_both_digests(artifact: Path) -> None:
    topology = own(artifact)
    artifact.write_bytes(b"another")
    with pytest.raises(RehearsalError, match="its SHA-256 is") as raised:
        account.check(topology, artifact, fresh=True)
    assert topology.application is not None
    assert topology.application.sha256 in str(raised.value)
    with pytest.raises(RehearsalError, match="no application of its own"):
        account.check(preset("reference"), artifact, fresh=True)


def test_hosts_reach_no_internet(artifact: Path) -> None:
    topology = own(artifact)
    assert topology.application is not None
    there = replace(topology, application=replace(topology.application, artifact="https://example.org/site.tar.gz"))
    with pytest.raises(RehearsalError, match="reach no internet"):
        account.check(there, artifact, fresh=True)
