"""Settings that change what is registered, and faulty ones, which register nothing."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from tests.program.evaluation import Evaluation, evaluate
from tests.program.plain_mocks import IMAGE
from topology.checks import RESERVED_TAGS


def refused(**more: Any) -> tuple[str, Evaluation]:
    """The message of a configuration that cannot be used, and what was registered before it was found."""
    with pytest.raises(pulumi.RunError) as caught:
        evaluate(**more)
    return str(caught.value), caught.value.evaluation  # type: ignore[attr-defined]


def test_faults_are_said_together_and_nothing_is_created() -> None:
    message, evaluation = refused(configured={"instancetype": "t3.large", "rootVolumeGib": "3"})
    assert "has 2 problems:" in message
    assert message.endswith("\nNothing was created or changed.")
    assert "Did you mean 'instanceType'" in message
    assert evaluation.resources == []
    assert evaluation.asked == {}


def test_what_settings_mean_together_is_checked_before_anything_is_asked() -> None:
    message, evaluation = refused(configured={"hostedZoneId": "Z0123456789", "networkCidr": "10.0.0.0/8"})
    assert "tripod:domain" in message
    assert "tripod:networkCidr" in message
    assert evaluation.resources == []
    assert evaluation.asked == {}


def test_a_zone_that_does_not_exist_creates_nothing() -> None:
    message, evaluation = refused(configured={"zones": ["us-east-1a", "us-east-1b", "us-east-1z"]})
    assert "us-east-1z" in message
    # The zones have to be asked for, which takes a provider; it is nothing in AWS.
    assert {r.type for r in evaluation.resources} <= {"pulumi:providers:aws"}


def test_shape_hides_no_meaning_and_a_wrong_namespace_is_told() -> None:
    message, evaluation = refused(configured={"preset": "triple", "image": "x"}, aws={"regoin": "us-east-1"})
    for said in ("tripod:preset: 'triple'", "tripod:image: 'x'", "aws:regoin: this key is not read", "aws:region: no"):
        assert said in message
    assert evaluation.asked == {}


def test_a_missing_region_is_one_clear_message() -> None:
    message, evaluation = refused(aws={})
    assert "pulumi config set aws:region" in message
    assert evaluation.resources == []


def test_any_region_and_its_zones() -> None:
    evaluation = evaluate(region="eu-north-1")
    assert {s.inputs["availabilityZone"] for s in evaluation.of("Subnet")} == {f"eu-north-1{z}" for z in "abc"}
    assert evaluation.of("VpcEndpoint")[0].inputs["serviceName"] == "com.amazonaws.eu-north-1.s3"


def offers(*zones: str, kind: str = "t3.medium") -> dict[str, Any]:
    found = {"id": "x", "locations": list(zones), "instanceTypes": [kind] * len(zones)}
    return {"getInstanceTypeOfferings": found}


def placed(evaluation: Evaluation) -> dict[str, str]:
    """Data volume -> its zone."""
    return {volume.name: volume.inputs["availabilityZone"] for volume in evaluation.of("Volume")}


def test_no_volume_moves_when_offers_types_or_states_change() -> None:
    before = placed(evaluate())
    assert set(before.values()) == {"us-east-1a", "us-east-1b", "us-east-1c"}
    assert placed(evaluate(answers=offers("us-east-1b", "us-east-1c", "us-east-1d"))) == before
    assert (
        placed(evaluate(configured={"instanceType": "m7i.large"}, answers=offers("us-east-1d", kind="m7i.large")))
        == before
    )
    # AWS is free to list them in any order, and is asked for zones in every state.
    shuffled = {"names": [f"us-east-1{letter}" for letter in "dbca"], "zoneIds": [], "id": "x", "groupNames": []}
    evaluation = evaluate(answers={"getAvailabilityZones": shuffled})
    assert placed(evaluation) == before
    assert "state" not in evaluation.asked["getAvailabilityZones"]


def test_a_zone_without_a_servers_type_is_told_and_nobody_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    evaluate(answers=offers("us-east-1b", "us-east-1c", "us-east-1d"))
    (said,) = [record.getMessage() for record in caplog.records if "AWS offers no" in record.getMessage()]
    assert said.startswith("AWS offers no t3.medium in us-east-1a: it will refuse")
    assert "uses: us-east-1b, us-east-1c, us-east-1d. Before the first `pulumi up`, name some of them" in said


@pytest.mark.parametrize("answers", [offers(), offers("us-east-1a", "us-east-1b", "us-east-1c")])
def test_offers_that_suffice_or_that_nobody_knows_are_no_matter(
    answers: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(answers=answers)
    assert "AWS offers no" not in caplog.text


def test_named_zones_are_asked_for_offers_too(caplog: pytest.LogCaptureFixture) -> None:
    zones = ["us-east-1d", "us-east-1a", "us-east-1b"]
    evaluation = evaluate(configured={"zones": zones}, answers=offers("us-east-1a", "us-east-1b"))
    assert list(placed(evaluation).values()).count("us-east-1d") == 1
    assert "AWS offers no t3.medium in us-east-1d" in caplog.text


def test_image_of_the_architecture_or_the_stacks_own() -> None:
    evaluation = evaluate(configured={"instanceType": "t4g.medium"})
    assert {i.inputs["ami"] for i in evaluation.of("Instance")} == {IMAGE}
    assert "/arm64/" in evaluation.asked["getParameter"]["name"]
    assert "/26.04/" in evaluation.asked["getParameter"]["name"]
    assert "/amd64/" in evaluate().asked["getParameter"]["name"]
    own = evaluate(configured={"image": "ami-0aaaaaaaaaaaaaaaa"})
    assert {i.inputs["ami"] for i in own.of("Instance")} == {"ami-0aaaaaaaaaaaaaaaa"}
    assert "getParameter" not in own.asked


def test_verification_runs_again_when_anything_changed() -> None:
    command = evaluate(configured={"verifyTimeoutMinutes": 7}).named("verification-command")
    assert command.inputs["create"] == ".venv/bin/python -m operations verify --stack dev --timeout 420"
    assert command.inputs["update"] == command.inputs["create"]
    assert "triggers" not in command.inputs
    environment = command.inputs["environment"]
    assert environment["AWS_REGION"] == "us-east-1"
    assert set(json.loads(environment["TRIPOD_EXPECTED_DIGESTS"])) == {"server-1", "server-2", "server-3"}
    assert set(json.loads(environment["TRIPOD_INSTANCES"])) == {"server-1", "server-2", "server-3"}
    assert set(json.loads(environment["TRIPOD_PARAMETER_VERSIONS"]).values()) == {1}
    # A larger type changes no file, but it stops and starts the server.
    larger = evaluate(configured={"verifyTimeoutMinutes": 7, "instanceType": "t3.large"}).named("verification-command")
    assert larger.inputs["environment"] != environment


def test_verification_comes_last() -> None:
    evaluation = evaluate()
    command = evaluation.named("verification-command")
    needed = evaluation.needs(command)
    for resource in evaluation.of("Instance", "VolumeAttachment", "EipAssociation", "BucketObjectv2", "Route"):
        assert resource.urn in needed, resource.name


def test_verification_can_be_left_out() -> None:
    evaluation = evaluate(configured={"verify": False})
    assert not evaluation.of("Command")


def test_a_provided_certificate_takes_the_place_of_the_stacks_own() -> None:
    own = {"mode": "provided", "certificateParameter": "/web/cert.pem", "keyParameter": "/web/key.pem"}
    evaluation = evaluate(configured={"tls": own})
    assert not [r for r in evaluation.resources if r.name.startswith("site-certificate")]
    policy = json.loads(evaluation.named("server-1-policy").inputs["policy"])["Statement"]
    readable = next(s for s in policy if s["Sid"] == "ReadOwnParameters")["Resource"]
    assert any(arn.endswith(":parameter/web/key.pem") for arn in readable)
    decrypt = next(s for s in policy if s["Sid"] == "DecryptProvided")
    assert decrypt["Condition"]["StringEquals"]["kms:ViaService"] == "ssm.us-east-1.amazonaws.com"
    elsewhere = json.loads(evaluation.named("server-2-policy").inputs["policy"])["Statement"]
    assert not [s for s in elsewhere if s["Sid"] == "DecryptProvided"]


def test_secrets_of_an_own_application_can_be_read_where_it_runs() -> None:
    own = {"artifact": "s3://example/site.tar.gz", "sha256": "0" * 64, "start": "serve", "port": 8080, "health": "/"}
    evaluation = evaluate(configured={"application": own | {"secrets": {"MAIL_PASSWORD": "/example/mail"}}})
    for server, runs in (("server-1", True), ("server-2", True), ("server-3", False)):
        policy = json.loads(evaluation.named(f"{server}-policy").inputs["policy"])["Statement"]
        readable = next(s for s in policy if s["Sid"] == "ReadOwnParameters")["Resource"]
        assert any(arn.endswith(":parameter/example/mail") for arn in readable) is runs
        decrypt = [s for s in policy if s["Sid"] == "DecryptProvided"]
        assert bool(decrypt) is runs
        for one in decrypt:
            (arn,) = one["Condition"]["StringEquals"]["kms:EncryptionContext:PARAMETER_ARN"]
            assert arn.endswith(":parameter/example/mail")


@pytest.mark.parametrize("base", ["dev", "staging", "prod"])
def test_a_domain_gets_its_record(base: str) -> None:
    evaluation = evaluate(base, configured={"domain": "www.example.org", "hostedZoneId": "Z0123456789"})
    (record,) = evaluation.of("Record")
    assert record.inputs["name"] == "www.example.org"
    if base == "prod":
        assert record.inputs["aliases"][0]["name"] == "edge.elb.example"
    else:
        assert record.inputs["records"] == ["203.0.113.10"]
    assert evaluation.outputs["url"] == "https://www.example.org/"
    assert "www.example.org" in evaluation.named("site-certificate-request").inputs["dnsNames"]


def test_health_checked_records_instead_of_a_load_balancer() -> None:
    configured = {"edge": "dns", "domain": "www.example.org", "hostedZoneId": "Z0123456789"}
    evaluation = evaluate("prod", configured=configured)
    assert len(evaluation.of("Eip")) == len(evaluation.of("EipAssociation")) == len(evaluation.of("HealthCheck")) == 3
    assert {r.inputs["multivalueAnswerRoutingPolicy"] for r in evaluation.of("Record")} == {True}
    assert not evaluation.of("LoadBalancer")


def test_tags_of_the_stack_are_on_everything() -> None:
    provider = evaluate(configured={"tags": {"Team": "web"}}).named("aws")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert tags["Team"] == "web"
    assert tags["ManagedBy"] == "pulumi"
    # Every key that the program sets is one that a stack's file cannot.
    assert {key.lower() for key in tags if not key.startswith("tripod:")} - {"team"} < RESERVED_TAGS


def test_a_profile_is_passed_on() -> None:
    evaluation = evaluate(aws={"region": "us-east-1", "profile": "web"})
    assert evaluation.named("aws").inputs["profile"] == "web"
    assert evaluation.named("verification-command").inputs["environment"]["AWS_PROFILE"] == "web"
