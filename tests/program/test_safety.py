"""Assertions over all registered resources of every shipped stack: nothing open, nothing leaking, nothing lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from operations.runbook.book import entry
from tests.program.evaluation import Evaluation, evaluate, leaves
from tests.program.plain_mocks import ACCOUNT, SECRET_MARK
from topology import names
from topology.flows import WORLD, flows
from topology.model import Topology


def test_every_volume_is_encrypted(program: Evaluation) -> None:
    volumes = [volume.inputs for volume in program.of("Volume")]
    volumes += [instance.inputs["rootBlockDevice"] for instance in program.of("Instance")]
    assert volumes
    assert [volume for volume in volumes if volume.get("encrypted") is not True] == []
    assert {volume.get("type", volume.get("volumeType")) for volume in volumes} == {"gp3"}


def test_every_instance_has_imdsv2_with_one_hop_and_without_tags(program: Evaluation) -> None:
    for instance in program.of("Instance"):
        assert instance.inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
            "instanceMetadataTags": "disabled",
        }


def test_instances_survive_new_images_and_are_guarded(program: Evaluation, topology: Topology) -> None:
    for instance in program.of("Instance"):
        spec = topology.server(instance.inputs["tags"]["tripod:server"])
        assert {"ami", "userData"} <= set(instance.ignore_changes)
        assert instance.delete_before_replace
        assert instance.inputs["disableApiTermination"] is spec.holds_data
        assert instance.inputs["monitoring"] is True
        assert "keyName" not in instance.inputs, "shells are Session Manager's"
        assert "userDataReplaceOnChange" not in instance.inputs
        assert instance.inputs["privateIp"] == str(spec.address)
        assert instance.inputs["tags"]["tripod:roles"].split() == [role.value for role in spec.roles]


def test_state_is_protected(program: Evaluation) -> None:
    for volume in program.of("Volume"):
        assert volume.protect
        assert volume.retain_on_delete
        assert "snapshotId" in volume.ignore_changes
    kept = program.of("Eip", "RandomPassword", "LoadBalancer", "SelfSignedCert")
    assert kept
    assert [resource.name for resource in kept if not resource.protect] == []
    assert program.named("authority-key").protect


def test_the_runbook_names_every_password(program: Evaluation, topology: Topology) -> None:
    named = re.findall(r"^\| (passwords-\S+) \|", entry(topology, "change-password").text, re.MULTILINE)
    assert sorted(named) == sorted(password.name for password in program.of("RandomPassword"))


def test_protected_state_keeps_nothing_else_alive(program: Evaluation) -> None:
    # `pulumi destroy --exclude-protected` spares whatever a protected resource depends on.
    urns = {r.urn: r for r in program.resources}
    for resource in program.resources:
        if resource.protect and resource.short_type != "LoadBalancer":
            needed = {urns[urn].name for urn in program.needs(resource)}
            assert needed <= {"authority-key"}, f"{resource.name} keeps {needed} alive"


def test_a_disk_leaves_only_a_stopped_server(program: Evaluation, topology: Topology) -> None:
    attachments = program.of("VolumeAttachment")
    assert len(attachments) == len(topology.servers)
    for attachment in attachments:
        assert attachment.delete_before_replace
        assert attachment.inputs["stopInstanceBeforeDetaching"] is True
        assert "forceDetach" not in attachment.inputs


def test_secrets_are_only_where_they_belong(program: Evaluation) -> None:
    for resource in program.resources:
        marked = {key for key, value in resource.inputs.items() if any(SECRET_MARK in str(x) for x in leaves(value))}
        allowed: set[str] = set()
        if resource.short_type == "Parameter":
            allowed = {"value"} if resource.inputs["type"] == "SecureString" else set()
            assert resource.secrets >= marked
        elif resource.type.startswith("tls:"):
            allowed = {"privateKeyPem", "caPrivateKeyPem"}
        assert marked <= allowed, f"{resource.name} holds a secret in {marked - allowed}"
    assert SECRET_MARK not in json.dumps(program.outputs)


def test_private_keys_of_the_authority_never_reach_a_server(program: Evaluation) -> None:
    for parameter in program.of("Parameter"):
        public = parameter.inputs["type"] == "String"
        # What is public is not hidden, so that a preview shows what changes in it.
        value = parameter.inputs["insecureValue" if public else "value"]
        assert (SECRET_MARK in value) is not public
        assert f"{SECRET_MARK}-authority-key" not in value


def test_every_secret_a_bundle_names_is_a_parameter(program: Evaluation) -> None:
    made = {p.inputs["name"]: p.inputs["type"] for p in program.of("Parameter")}
    for manifest in _manifests(program):
        for secret in manifest["secrets"].values():
            assert secret["parameter"] in made
            is_secret = secret["parameter"].endswith(("key.pem", "password"))
            assert made[secret["parameter"]] == ("SecureString" if is_secret else "String")


def test_the_world_reaches_nothing_but_web_ports(program: Evaluation, topology: Topology) -> None:
    open_to_all = [rule for rule in program.of("SecurityGroupIngressRule") if "cidrIpv4" in rule.inputs]
    found = {(rule.inputs["securityGroupId"], rule.inputs["fromPort"], rule.inputs["toPort"]) for rule in open_to_all}
    declared = [flow for flow in flows(topology) if flow.source == WORLD]
    assert {port for _, port, _ in found} == {80, 443}
    assert {first == last for _, first, last in found} == {True}
    assert len(open_to_all) == len(declared)
    group = "firewall-edge-id" if topology.edge == "nlb" else "firewall-load-balancer-id"
    assert {owner for owner, _, _ in found} == {group}


def test_rules_are_the_table_of_flows_and_reference_groups(program: Evaluation, topology: Topology) -> None:
    rules = program.of("SecurityGroupIngressRule", "SecurityGroupEgressRule")
    assert {rule.name.removeprefix("firewall-").rsplit("-", 1)[0] for rule in rules} == {f.key for f in flows(topology)}
    for rule in rules:
        ends = {"cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"} & set(rule.inputs)
        assert len(ends) == 1, rule.name
        assert "cidrIpv6" not in rule.inputs
        if rule.inputs["ipProtocol"] == "112":
            assert not {"fromPort", "toPort"} & set(rule.inputs)
        else:
            assert rule.inputs["ipProtocol"] in ("tcp", "udp")
            assert rule.inputs["fromPort"] == rule.inputs["toPort"]


def test_groups_have_no_rules_inside_and_a_constant_description(program: Evaluation) -> None:
    groups = program.of("SecurityGroup")
    assert groups
    for group in [*groups, *program.of("DefaultSecurityGroup")]:
        assert not {"ingress", "egress"} & set(group.inputs)
    assert {group.inputs["description"].split(":")[0] for group in groups} == {"Tripod"}
    for instance in program.of("Instance"):
        # Five groups is the default quota of a network interface.
        assert 1 <= len(instance.inputs["vpcSecurityGroupIds"]) <= 5


def test_permissions_name_what_they_are_for(program: Evaluation, topology: Topology) -> None:
    # Actions that AWS cannot limit to a resource (Service Authorization Reference).
    unlimited = ("ssm:UpdateInstanceInformation", "ssmmessages:", "ec2:Describe", "cloudwatch:PutMetricData")
    for server, statement in _statements(program):
        actions, resources = _list(statement["Action"]), _list(statement["Resource"])
        assert not [action for action in actions if "*" in action], statement
        if "*" in resources:
            assert all(action.startswith(unlimited) for action in actions), statement
            continue
        for resource in resources:
            assert ACCOUNT in resource or resource.startswith("arn:aws:s3:::tripod-"), statement
            if resource.startswith(_backups(topology)):
                # What it may write there: test_a_server_writes_backups_under_its_own_name_only.
                continue
            if "/servers/" in resource or resource.startswith("arn:aws:s3:::"):
                assert f"/servers/{server}/" in resource or resource.endswith("/shared/*"), (
                    f"{server} may touch {resource}"
                )
            if resource.endswith(("/group", "/group/*")):
                # The group's own parameters: another statement denies to change what is there.
                continue
            if statement["Effect"] == "Allow" and resource.endswith("/*") and not resource.startswith("arn:aws:s3:::"):
                assert statement.get("Condition"), statement


def test_servers_read_exactly_the_parameters_their_bundles_name(program: Evaluation, topology: Topology) -> None:
    manifests = {manifest["server"]: manifest for manifest in _manifests(program)}
    for server, statement in _statements(program):
        if statement["Sid"] != "ReadOwnParameters":
            continue
        readable = {arn.split(":parameter", 1)[1] for arn in _list(statement["Resource"])}
        named = {secret["parameter"] for secret in manifests[server]["secrets"].values()}
        assert named <= readable
        prefix = f"/tripod/{topology.stack}"
        assert readable - named <= {f"{prefix}/servers/{server}/state"}


def test_the_groups_parameters_can_be_created_but_never_overwritten(program: Evaluation, topology: Topology) -> None:
    writers = set()
    for server, statement in _statements(program):
        if statement["Action"] != "ssm:PutParameter" or not str(statement["Resource"]).endswith("/group/*"):
            continue
        writers.add((server, statement["Effect"]))
        if statement["Effect"] == "Deny":
            assert statement["Condition"] == {"StringEquals": {"ssm:Overwrite": "true"}}
    assert writers == {(s.name, effect) for s in topology.databases for effect in ("Allow", "Deny")}


def test_only_load_balancers_of_a_floating_address_may_move_it(program: Evaluation, topology: Topology) -> None:
    movers = {server for server, statement in _statements(program) if "ec2:AssociateAddress" in statement["Action"]}
    expected = {server.name for server in topology.load_balancers} if topology.edge == "floating-eip" else set()
    assert movers == expected


def test_buckets_are_private_versioned_encrypted_and_tls_only(program: Evaluation) -> None:
    buckets = {r.inputs["bucket"] for r in program.of("Bucket") if "bucket" in r.inputs}
    assert len(buckets) == 2, "configuration, backups"

    def of(kind: str) -> list[dict[str, Any]]:
        found = [resource.inputs for resource in program.of(kind)]
        assert {inputs["bucket"] for inputs in found} == buckets, kind
        return found

    for private in of("BucketPublicAccessBlock"):
        assert {private[key] for key in private if key != "bucket"} == {True}
        assert len(private) == 5
    assert all(one["versioningConfiguration"] == {"status": "Enabled"} for one in of("BucketVersioning"))
    assert all(one["rule"] == {"objectOwnership": "BucketOwnerEnforced"} for one in of("BucketOwnershipControls"))
    assert all(one["rules"] for one in of("BucketServerSideEncryptionConfiguration"))
    for one in of("BucketPolicy"):
        policy = json.loads(one["policy"])
        assert {s["Effect"] for s in policy["Statement"]} == {"Deny"}
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in policy["Statement"]]


def test_backups_outlive_the_stack_and_no_server_may_delete_them(program: Evaluation, topology: Topology) -> None:
    kept = [r for r in program.of("Bucket") if r.protect]
    assert [r.name for r in kept] == ["backups-bucket"]
    # What guards the bucket stays with it: a `pulumi destroy` must not leave it open, or without its versions.
    guards = [r for r in program.resources if r.parent == kept[0].parent]
    assert {r.short_type for r in guards} >= {
        "Bucket", "BucketLifecycleConfiguration", "BucketOwnershipControls", "BucketPolicy", "BucketPublicAccessBlock",
        "BucketServerSideEncryptionConfiguration", "BucketVersioning",
    }  # fmt: skip
    assert [r.name for r in guards if not r.retain_on_delete] == []
    # The configuration's bucket goes, so its guards may go with it.
    assert not any(r.retain_on_delete for r in program.resources if r.parent == program.named("bucket-bucket").parent)
    denied = {
        server for server, s in _statements(program) if s["Effect"] == "Deny" and "s3:DeleteObject" in s["Action"]
    }
    assert denied == {server.name for server in topology.databases}
    for _, statement in _statements(program):
        if statement["Effect"] == "Allow":
            assert not any("s3:Delete" in action for action in (statement["Action"], *statement["Action"]))


def test_only_monitoring_servers_may_send_alerts_and_the_heartbeat(program: Evaluation, topology: Topology) -> None:
    found = list(_statements(program))
    monitors = {server.name for server in topology.monitors}
    for action in ("sns:Publish", "cloudwatch:PutMetricData"):
        assert {server for server, statement in found if action in statement["Action"]} == monitors
    for _, statement in found:
        if statement["Action"] == "sns:Publish":
            assert str(statement["Resource"]).endswith(f":{ACCOUNT}:tripod-{topology.stack}-alerts")
        if statement["Action"] == "cloudwatch:PutMetricData":
            assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": f"Tripod/{topology.stack}"}}


def test_a_server_writes_backups_under_its_own_name_only(program: Evaluation, topology: Topology) -> None:
    bucket = _backups(topology)
    shared = {f"{bucket}/data/claims/*", f"{bucket}/timelines/*"}
    for server in topology.servers:
        writable: set[str] = set()
        denied: list[dict[str, Any]] = []
        for name, statement in _statements(program):
            resources = [one for one in _list(statement["Resource"]) if one.startswith(bucket)]
            if name != server.name or "s3:PutObject" not in _list(statement["Action"]) or not resources:
                continue
            if statement["Effect"] == "Deny":
                denied.append(statement)
            else:
                writable |= set(resources)
        if server not in topology.databases:
            assert not writable
            continue
        own = {resource for resource in writable if f"/{server.name}/*" in resource}
        assert len(own) == 3, "backups, binary logs, drills"
        assert writable - own == shared
        assert [set(one["Resource"]) for one in denied] == [shared]
        assert denied[0]["Condition"] == {"Null": {"s3:if-none-match": "true"}}, "only where nothing is yet"


def test_snapshots_are_made_of_data_volumes_only_and_by_their_own_role(program: Evaluation, topology: Topology) -> None:
    (policy,) = program.of("LifecyclePolicy")
    details = policy.inputs["policyDetails"]
    ((tag, value),) = details["targetTags"].items()
    assert details["resourceTypes"] == ["VOLUME"]
    assert all(volume.inputs["tags"][tag] == value for volume in program.of("Volume"))
    assert not any(tag in instance.inputs["rootBlockDevice"]["tags"] for instance in program.of("Instance"))
    assert details["schedules"][0]["retainRule"] == {"count": topology.backup.snapshots}
    statements = json.loads(program.named("snapshots-policy").inputs["policy"])["Statement"]
    unlimited = [one["Sid"] for one in statements if one["Resource"] == "*"]
    assert unlimited == ["See"], "describing cannot be limited"
    mine = {"StringEquals": {f"aws:ResourceTag/{tag}": value}}
    assert {one["Sid"] for one in statements if one.get("Condition") == mine} == {
        "SnapshotOwnVolumes",
        "DeleteOwnSnapshots",
    }
    # DLM also tags snapshots that are there (AWSDataLifecycleManagerServiceRole sets no condition), nothing else.
    (tagging,) = [one for one in statements if one["Action"] == "ec2:CreateTags"]
    assert (tagging["Resource"], tagging.get("Condition")) == ("arn:aws:ec2:*::snapshot/*", None)


def test_without_snapshots_there_is_no_policy_and_a_lock_needs_its_setting(stack: str, program: Evaluation) -> None:
    assert not program.of("BucketObjectLockConfiguration")
    other = evaluate(stack, configured={"backup": {"snapshots": 0, "objectLockDays": 14}})
    assert not other.of("LifecyclePolicy")
    assert "snapshots-role" not in {resource.name for resource in other.of("Role")}
    (lock,) = other.of("BucketObjectLockConfiguration")
    assert lock.inputs["rule"]["defaultRetention"] == {"mode": "COMPLIANCE", "days": 14}
    assert lock.retain_on_delete
    assert other.named("backups-bucket").inputs["objectLockEnabled"] is True
    assert "objectLockEnabled" not in other.named("bucket-bucket").inputs


def _backups(topology: Topology) -> str:
    return f"arn:aws:s3:::{names.backup_bucket(topology.stack, ACCOUNT, topology.region)}"


def _statements(program: Evaluation) -> Iterator[tuple[str, dict[str, Any]]]:
    policies = [policy for policy in program.of("RolePolicy") if policy.name != "snapshots-policy"]
    assert len(policies) == len(program.of("Instance"))
    for policy in policies:
        for statement in json.loads(policy.inputs["policy"])["Statement"]:
            yield policy.name.removesuffix("-policy"), statement


def _manifests(program: Evaluation) -> list[dict[str, Any]]:
    return [json.loads(o.inputs["content"]) for o in program.of("BucketObjectv2") if o.name.endswith("-manifest")]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
