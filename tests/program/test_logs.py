"""Log groups of every shipped stack, and what its servers may do with them."""

from __future__ import annotations

import json
from typing import Any

from components.permissions import Account, server_policy
from tests.program.evaluation import Evaluation, evaluate
from tests.program.plain_mocks import ACCOUNT
from tests.userdata.topologies import OWN_APPLICATION, build
from topology import names
from topology.application_checks import MOST_SECRETS
from topology.model import Topology
from topology.names import Log
from userdata.render import bundle


def statements(program: Evaluation, server: str) -> list[dict[str, Any]]:
    policy = json.loads(program.named(f"{server}-policy").inputs["policy"])
    return [one for one in policy["Statement"] if "logs:" in json.dumps(one["Action"])]


def test_one_group_for_each_log_that_is_shipped(program: Evaluation, topology: Topology) -> None:
    groups = {group.inputs["name"]: group.inputs for group in program.of("LogGroup")}
    shipped = {names.log_group(topology.stack, log) for server in topology.servers for log in server.logs}
    assert set(groups) == shipped
    assert names.log_group(topology.stack, Log.AUDIT) in groups
    for inputs in groups.values():
        assert inputs["retentionInDays"] == 30
        assert inputs["tags"]["Name"].startswith(f"tripod-{topology.stack}-")


def test_groups_are_known_at_the_first_preview(preview: Evaluation, topology: Topology) -> None:
    found = {group.inputs["name"] for group in preview.of("LogGroup")}
    assert found == {names.log_group(topology.stack, log) for server in topology.servers for log in server.logs}


def test_a_server_waits_for_its_groups(program: Evaluation, topology: Topology) -> None:
    urns = {resource.urn: resource for resource in program.resources}
    for server in topology.servers:
        needed = {urns[urn].name for urn in program.needs(program.named(f"{server.name}-instance"))}
        assert {f"logs-{log.value}" for log in server.logs} <= needed


def test_a_server_may_write_its_own_streams_and_no_more(program: Evaluation, topology: Topology) -> None:
    for server in topology.servers:
        create, put = statements(program, server.name)
        arns = [
            f"arn:aws:logs:{topology.region}:{ACCOUNT}:log-group:{names.log_group(topology.stack, log)}"
            for log in server.logs
        ]
        own = [f"{arn}:log-stream:{server.name}" for arn in arns]
        assert (create["Effect"], create["Action"]) == ("Allow", "logs:CreateLogStream")
        assert sorted(create["Resource"]) == sorted([*arns, *own])
        assert (put["Effect"], put["Action"], put["Resource"]) == ("Allow", "logs:PutLogEvents", own)
        assert "*" not in json.dumps([create, put])


def test_the_policy_of_a_server_with_everything_fits_a_role() -> None:
    """IAM user guide, "IAM and AWS STS quotas": 10,240 characters, white space not counted."""
    secrets = {f"KEY_{n}": f"/example/{n:055}" for n in range(MOST_SECRETS)}
    roles = ["load_balancer", "app", "database", "monitoring"]
    topology = build(
        "a" * 22,
        edge="floating-eip",
        servers=[{"name": f"a-name-of-20-letter{n}", "roles": roles} for n in (1, 2, 3)],
        application={**OWN_APPLICATION, "secrets": secrets},
        tls={
            "mode": "provided",
            "certificateParameter": f"/example/{'c' * 55}",
            "keyParameter": f"/example/{'k' * 55}",
        },
    )
    server = topology.servers[0]
    account = Account(ACCOUNT, "aws", topology.region)
    parameters = [secret.parameter for secret in bundle(topology, server).secrets]
    bucket = names.bucket(topology.stack, ACCOUNT, topology.region)
    policy = server_policy(topology, server, account=account, bucket=bucket, parameters=parameters)
    # In aws-us-gov and its regions an ARN is longer by up to 9, and there are fewer than 70 of them.
    assert len("".join(policy.split())) < 10_240 - 630
    assert policy.count("arn:") < 70


def test_another_retention_touches_the_groups_only() -> None:
    before, after = (evaluate(configured={"logRetentionDays": days}) for days in (30, 90))
    assert {group.inputs["retentionInDays"] for group in after.of("LogGroup")} == {90}
    old, new = ({one.name: one.inputs for one in made.of("Instance", "RolePolicy")} for made in (before, after))
    assert old == new
