"""What the program registers: the same every time, all of it in a preview, in an order that a server can boot in."""

from __future__ import annotations

import json

import pytest

from tests.program.evaluation import UNKNOWN, Evaluation, evaluate, leaves
from topology.model import Topology

AWS_PROVIDER = "pulumi:providers:aws::aws"


def test_evaluating_twice_registers_the_identical_set(stack: str, program: Evaluation) -> None:
    def shape(evaluation: Evaluation) -> dict[str, str]:
        return {
            r.urn: json.dumps([r.inputs, sorted(r.dependencies), r.protect, r.ignore_changes], sort_keys=True)
            for r in evaluation.resources
        }

    assert shape(evaluate(stack)) == shape(program)
    assert len({r.urn for r in program.resources}) == len(program.resources)


def test_a_preview_shows_every_resource(program: Evaluation, preview: Evaluation) -> None:
    assert {r.urn for r in preview.resources} == {r.urn for r in program.resources}


def test_a_preview_knows_every_file_permission_and_boot_text(preview: Evaluation) -> None:
    known = {
        "BucketObjectv2": {"key", "content", "contentType"},
        "Instance": {"userData", "ami", "privateIp", "instanceType", "metadataOptions", "tags"},
        "RolePolicy": {"policy"},
        "BucketPolicy": {"policy"},
        "Volume": {"availabilityZone", "size", "encrypted"},
        "Subnet": {"cidrBlock", "availabilityZone"},
        "TargetGroupAttachment": {"targetId", "port"},
    }
    for resource in preview.resources:
        for key in known.get(resource.short_type, ()):
            if resource.custom:
                assert key in resource.inputs, f"{resource.name} has no {key}"
                assert UNKNOWN not in set(map(str, leaves(resource.inputs[key]))), f"{resource.name}.{key} is unknown"
    servers = preview.outputs["servers"]
    assert all(server["digest"].startswith("sha256:") for server in servers.values())


def test_the_same_texts_are_in_preview_and_update(program: Evaluation, preview: Evaluation) -> None:
    def texts(evaluation: Evaluation) -> dict[str, str]:
        return {o.name: o.inputs["content"] for o in evaluation.of("BucketObjectv2")} | {
            i.name: i.inputs["userData"] for i in evaluation.of("Instance")
        }

    assert texts(preview) == texts(program)


def test_every_resource_of_aws_has_the_one_tagged_provider(program: Evaluation, stack: str) -> None:
    for resource in program.resources:
        if resource.type.startswith("aws:"):
            assert resource.provider.endswith(AWS_PROVIDER), f"{resource.name} has {resource.provider or 'a default'}"
        if resource.type.startswith("tripod:"):
            assert resource.parent.endswith(f"tripod-{stack}") or "tripod:" in resource.parent
    provider = program.named("aws").inputs
    tags = json.loads(provider["defaultTags"])["tags"]
    assert tags == {"Project": "tripod", "Stack": stack, "ManagedBy": "pulumi", "tripod:stack": stack}


def test_every_resource_belongs_to_a_component(program: Evaluation) -> None:
    components = {r.urn: r for r in program.resources if not r.custom}
    for resource in program.resources:
        if resource.custom and not resource.type.startswith("pulumi:providers:"):
            assert resource.parent in components, f"{resource.name} has no component"
            assert resource.name.startswith(components[resource.parent].name), resource.name
    for component in components.values():
        module, name = component.type.split(":")[1:]
        assert component.type == f"tripod:{module}:{name}"


def test_servers_start_after_everything_their_first_boot_needs(program: Evaluation, topology: Topology) -> None:
    by_urn = {r.urn: r for r in program.resources}
    for instance in program.of("Instance"):
        server = instance.inputs["tags"]["tripod:server"]
        needed = {by_urn[urn].name for urn in program.needs(instance) if urn in by_urn}
        objects = {o.name for o in program.of("BucketObjectv2") if o.inputs["key"].startswith(f"servers/{server}/")}
        assert objects <= needed
        assert {f"{server}-policy", f"{server}-data", "network-route-out"} <= needed
        assert {r.name for r in program.of("SecurityGroupEgressRule", "SecurityGroupIngressRule")} <= needed
        manifest = json.loads(program.named(f"{server}-bundle-manifest").inputs["content"])
        names = {p.inputs["name"]: p.name for p in program.of("Parameter")}
        assert {names[s["parameter"]] for s in manifest["secrets"].values()} <= needed
        others = {f"{other.name}-instance" for other in topology.servers} & needed
        assert not others, "servers start side by side"


def test_a_manifest_is_written_after_its_files(program: Evaluation) -> None:
    for manifest in (o for o in program.of("BucketObjectv2") if o.name.endswith("-manifest")):
        prefix = manifest.inputs["key"].removesuffix("manifest.json")
        named = json.loads(manifest.inputs["content"])["files"]
        keys = {entry.get("key", f"{prefix}files{path}") for path, entry in named.items()}
        files = [o for o in program.of("BucketObjectv2") if o.inputs["key"] in keys]
        assert keys == {file.inputs["key"] for file in files}
        assert {file.urn for file in files} <= manifest.dependencies


def test_what_all_servers_have_is_stored_once(program: Evaluation) -> None:
    objects = [o.inputs for o in program.of("BucketObjectv2")]
    shared = [o for o in objects if o["key"].startswith("shared/")]
    assert shared
    assert len({o["content"] for o in shared}) == len(shared)
    assert not {o["content"] for o in shared} & {o["content"] for o in objects if o["key"].startswith("servers/")}


def test_an_object_is_written_when_the_bucket_is_private_encrypted_and_versioned(program: Evaluation) -> None:
    kinds = (
        "BucketPublicAccessBlock", "BucketOwnershipControls", "BucketVersioning", "BucketPolicy",
        "BucketServerSideEncryptionConfiguration",
    )  # fmt: skip
    settings = [one for one in program.of(*kinds) if not one.name.startswith("backups-")]
    assert len(settings) == 5
    for written in program.of("BucketObjectv2"):
        assert {setting.urn for setting in settings} <= program.needs(written)


def test_user_data_is_small_and_the_same_for_any_configuration(stack: str, program: Evaluation) -> None:
    other = evaluate(stack, configured={"domain": "www.example.org", "tags": {"Team": "web"}, "dataVolumeGib": 30})
    for instance in program.of("Instance"):
        text = instance.inputs["userData"]
        assert text.startswith("#cloud-config\n")
        assert len(text.encode()) < 4096
        assert other.named(instance.name).inputs["userData"] == text


def test_the_edge(program: Evaluation, topology: Topology) -> None:
    if topology.edge == "nlb":
        balancer = program.of("LoadBalancer")[0].inputs
        assert balancer["enableDeletionProtection"]
        assert balancer["enableCrossZoneLoadBalancing"]
        assert balancer["securityGroups"] == ["firewall-edge-id"]
        assert {group.inputs["proxyProtocolV2"] for group in program.of("TargetGroup")} == {True}
        assert {listener.inputs["port"] for listener in program.of("Listener")} == {80, 443}
        assert len(program.of("TargetGroupAttachment")) == 2 * len(topology.load_balancers)
        assert not program.of("Eip")
    else:
        assert len(program.of("Eip")) == 1
        # A floating address moves at run time: a managed association would move it back.
        assert len(program.of("EipAssociation")) == (1 if topology.edge == "eip" else 0)


def test_outputs(program: Evaluation, topology: Topology) -> None:
    assert set(program.outputs) == {"url", "addresses", "servers", "shell", "caCertificate", "readme"}
    assert set(program.outputs["servers"]) == {server.name for server in topology.servers}
    assert program.outputs["url"] in ("https://203.0.113.10/", "https://edge.elb.example/")
    assert "<!--" not in program.outputs["readme"]
    assert f" status --stack {topology.stack} " in program.outputs["readme"]
    for name, command in program.outputs["shell"].items():
        assert command == f"aws ssm start-session --region us-east-1 --target {name}-instance-id"


def test_certificates_are_valid_for_every_way_in(program: Evaluation, topology: Topology) -> None:
    for server in topology.servers:
        request = program.named(f"{server.name}-certificate-request").inputs
        assert request["dnsNames"] == [server.name, "localhost"]
        assert request["ipAddresses"] == [str(server.address), "127.0.0.1"]
    site = program.named("site-certificate-request").inputs
    assert "localhost" in site["dnsNames"]
    assert "127.0.0.1" in site["ipAddresses"]
    assert (
        ("edge.elb.example" in site["dnsNames"]) if topology.edge == "nlb" else ("203.0.113.10" in site["ipAddresses"])
    )


@pytest.mark.parametrize("changed", ["server-2"])
def test_a_change_of_one_server_touches_its_objects_and_the_verification_only(changed: str) -> None:
    preset = [
        {"name": "server-1", "roles": ["load_balancer", "app", "database"]},
        {"name": "server-2", "roles": ["app", "database"]},
        {"name": "server-3", "roles": ["database", "monitoring"]},
    ]
    grown = [{**entry, **({"instanceType": "t3.large"} if entry["name"] == changed else {})} for entry in preset]
    before, after = evaluate(configured={"servers": preset}), evaluate(configured={"servers": grown})
    old, new = ({r.urn: r for r in e.resources} for e in (before, after))
    touched = {new[urn].name for urn in old.keys() | new.keys() if old[urn].inputs != new[urn].inputs}
    outside = {
        name for name in touched if not name.startswith((f"{changed}-bundle", f"{changed}-instance", "verification"))
    }
    assert outside == set()
    assert f"{changed}-instance" in touched
