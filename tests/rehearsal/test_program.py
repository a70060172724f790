"""Programs run for real against the emulated AWS: a small one through its life, and Tripod's own."""

from __future__ import annotations

import pytest
import yaml
from cryptography import x509

from tests.rehearsal.control_plane import ROOT, emulated, evaluate, write_project

SMALL = """
import pulumi, pulumi_aws as aws, pulumi_command as command, pulumi_random as random, pulumi_tls as tls

provider = aws.Provider("p", region="eu-central-1", default_tags={"tags": {"Stack": pulumi.get_stack()}})
opts = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("v", cidr_block="10.9.0.0/16", tags={"Name": "v"}, opts=opts)
password = random.RandomPassword("pw", length=24, special=False, min_upper=3)
aws.ssm.Parameter("parameter", name="/t/pw", type="SecureString", value=password.result, opts=opts)
key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256")
ca = tls.SelfSignedCert("ca", private_key_pem=key.private_key_pem, is_ca_certificate=True,
                        validity_period_hours=24, allowed_uses=["cert_signing"], subject={"common_name": "ca"})
request = tls.CertRequest("request", private_key_pem=key.private_key_pem, subject={"common_name": "s"},
                          dns_names=["server-1", "localhost"], ip_addresses=["127.0.0.1"])
cert = tls.LocallySignedCert("cert", cert_request_pem=request.cert_request_pem, ca_cert_pem=ca.cert_pem,
                             ca_private_key_pem=key.private_key_pem, validity_period_hours=24,
                             allowed_uses=["server_auth"])
ran = command.local.Command("ran", create="echo $AWS_ENDPOINT_URL; echo to-stderr >&2", opts=pulumi.ResourceOptions(
    depends_on=[vpc]))
pulumi.export("greeting", pulumi.Config().require("greeting"))
pulumi.export("password", password.result)
pulumi.export("command", ran.stdout)
pulumi.export("ca", ca.cert_pem)
pulumi.export("cert", cert.cert_pem)
pulumi.export("zones", aws.get_availability_zones(state="available").names)
"""


@pytest.fixture(scope="module")
def service():
    with emulated() as running:
        yield running


@pytest.fixture
def aws(service):
    service.reset()
    return service


def test_a_program_through_its_life(aws, tmp_path):
    project, state = write_project(tmp_path / "p", SMALL, "config: {aws:region: eu-central-1}\n"), tmp_path / "state"
    first = evaluate(project, "t", aws, state)
    assert first["counts"] == {"created": 8}
    outputs = first["outputs"]
    assert outputs["greeting"] == "hello", "a default of Pulumi.yaml, which only the engine applies"
    assert outputs["command"] == aws.endpoint
    assert "to-stderr" in first["said"]
    assert outputs["zones"][:2] == ["eu-central-1a", "eu-central-1b"]
    assert first["secret"] == ["password"]
    ssm = aws.client("ssm")
    kept = ssm.get_parameter(Name="/t/pw", WithDecryption=True)["Parameter"]["Value"]
    assert kept == outputs["password"]
    assert len(kept) == 24
    (vpc,) = [one for one in aws.client("ec2").describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.9.0.0/16"]
    assert {tag["Key"]: tag["Value"] for tag in vpc["Tags"]} == {"Stack": "t", "Name": "v"}
    ca, cert = (x509.load_pem_x509_certificate(outputs[name].encode()) for name in ("ca", "cert"))
    cert.verify_directly_issued_by(ca)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server-1", "localhost"]

    assert evaluate(project, "t", aws, state)["counts"] == {"same": 8}

    (project / "__main__.py").write_text(
        SMALL.replace('"10.9.0.0/16"', '"10.8.0.0/16"').replace("aws.ssm.Parameter(", "dict(a=")
        .replace('a="parameter", ', "").replace("echo $AWS", "echo again $AWS")
        .replace('tags={"Name": "v"}', 'tags={"Name": "w"}')
    )  # fmt: skip
    changed = evaluate(project, "t", aws, state)
    assert changed["counts"] == {"same": 5, "updated": 1, "replaced": 1, "deleted": 2}
    cidrs = {one["CidrBlock"] for one in aws.client("ec2").describe_vpcs()["Vpcs"]}
    assert "10.8.0.0/16" in cidrs
    assert "10.9.0.0/16" not in cidrs
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/t/pw")


@pytest.mark.parametrize(
    "program,message",
    [
        ("import pulumi_aws as aws\naws.sqs.Queue('q')", "has no resource type aws:sqs/queue:Queue"),
        ("import pulumi_aws as aws\naws.ec2.Vpc('v', cidr_block='10.0.0.0/33')", "Creating aws:ec2/vpc:Vpc 'v' failed"),
        (
            "import pulumi_command as c\nc.local.Command('c', create='echo why >&2; exit 3')",
            "Creating command:local:Command 'c' failed: the command ended with code 3: why",
        ),
        ("import pulumi\nraise pulumi.RunError('nothing works')", "nothing works"),
        ("import pulumi_aws as aws\naws.get_arn(arn='arn:aws:s3:::x')", "has no function aws:index/getArn:getArn"),
    ],
    ids=["unknown type", "refused", "command", "program", "unknown function"],
)
def test_a_failure_is_one_message(aws, tmp_path, program, message):
    done = evaluate(write_project(tmp_path / "p", program), "t", aws, tmp_path / "state")
    assert message in done["error"]


def test_a_failure_ends_the_commands_that_still_run(aws, tmp_path):
    program = (
        "import pulumi_command as c\n"
        "c.local.Command('long', create='sleep 600')\n"
        "c.local.Command('bad', create='sleep 1; exit 1')\n"
    )
    done = evaluate(write_project(tmp_path / "p", program), "t", aws, tmp_path / "state")
    assert "'bad' failed" in done["error"]


STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS)
def test_tripods_own_stacks(aws, tmp_path, stack):
    """Every shipped stack is made whole, and a second run has nothing to do."""
    for path in ROOT.iterdir():
        if path.name not in {f"Pulumi.{stack}.yaml", ".git"}:
            (tmp_path / path.name).symlink_to(path)
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    config["config"].update({"aws:region": "eu-central-1", "tripod:verify": False})
    zone = aws.client("route53").create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"]
    if config["config"].get("tripod:hostedZoneId"):
        config["config"]["tripod:hostedZoneId"] = zone.removeprefix("/hostedzone/")
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(config))
    state = tmp_path / ".state"
    first = evaluate(tmp_path, stack, aws, state)
    assert "error" not in first, first["error"]
    assert set(first["counts"]) == {"created"}
    assert first["counts"]["created"] > 100
    view = aws.cloud.view()
    assert {one.server for one in view.instances.values()} == set(first["outputs"]["servers"])
    assert all(one.disks and one.tokens_required and one.role for one in view.instances.values())
    second = evaluate(tmp_path, stack, aws, state)
    assert second["counts"] == {"same": first["counts"]["created"]}
