"""The runbook: every failure has an entry, every entry its parts, and every command in it can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from moto import mock_aws

from components.monitoring import watches
from components.runbook import runbook as runbook_of_alarm
from operations import cli
from operations.errors import OperationError
from operations.failures import single_failures
from operations.runbook.book import PARTS, alone, book, entries, entry, entry_of_failure
from tests.typed import check, commands
from tests.userdata.topologies import build, topologies
from tools.document import stacks
from topology import names
from topology.names import Role
from userdata.haproxy.files import CERTIFICATE
from userdata.prometheus.alerts import ALERTS
from userdata.prometheus.runbook import DOCUMENT, SECTIONS
from userdata.render import bundle

STACKS = {topology.stack: topology for topology in stacks()}
PLANNED = {"instance-type", "planned-work", "remove-servers", "change-password", "destroy"}


@pytest.fixture(params=STACKS.values(), ids=STACKS)
def topology(request):
    return request.param


def test_every_command_can_be_typed(topology):
    found = list(commands(book(topology)))
    assert len(found) > 20
    for line in found:
        check(line)


@pytest.mark.parametrize(
    "line",
    [
        ".venv/bin/python -m operations statsu --stack dev",
        ".venv/bin/python -m operations status --stak dev",
        ".venv/bin/python -m operations backup restore --stack dev",
        ".venv/bin/python -m operations backup list --stak dev",
        "aws ec2 describe-instance-statuses",
        "aws ec2 stop-instances --instance INSTANCE",
        "tripod repair",
        "amtool --alertmanager.url=http://10.20.0.10:9093 silence add alertname=HostDown",
        "pulumi undo --stack dev",
        "pulumi up",
        "pulumi stack remove --stack dev",
        ".venv/bin/python -c 'import shutil'",
        "aws s3 list s3://BUCKET",
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line):
    with pytest.raises(BaseException):  # noqa: B017, PT011  (each tool has its own)
        check(line)


def test_units_and_files_on_servers_exist(topology):
    units, text = set(), book(topology)
    for server in topology.servers:
        found = bundle(topology, server)
        # A timer's service is a file only.
        units |= {unit.name for unit in found.units} | {Path(file.path).name for file in found.files}
    assert set(re.findall(r"[a-z-]+\.service", text)) <= units
    assert CERTIFICATE in text


def test_what_breaks_is_told_in_four_parts(topology):
    for one in entries(topology):
        if one.key not in PLANNED:
            assert tuple(re.findall(r"^### (.*)$", one.text, re.MULTILINE)) == PARTS, one.key


def test_every_single_failure_has_an_entry(topology):
    keys = {one.key for one in entries(topology)}
    failures = single_failures(topology)
    assert failures
    assert {entry_of_failure(failure.event) for failure in failures} <= keys
    with pytest.raises(KeyError):
        entry_of_failure("meteorite")


def test_every_alert_leads_to_the_entry_that_names_it(topology):
    named = {one.anchor: one.alerts for one in entries(topology) if one.alerts}
    assert named == SECTIONS
    text = (Path(__file__).parents[2] / DOCUMENT).read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall("^## (.+)$", text, re.M)
    }
    for alert in ALERTS:
        document, _, anchor = alert.runbook.partition("#")
        assert document == DOCUMENT
        assert anchor in headings
        assert f"| {alert.name} | [" in text


def check_alarms(stack):
    """Every CloudWatch alarm that the program makes is named by exactly the entry that its description names."""
    made = {names.alarm(stack.stack, one.subject, one.symptom): one.description for one in watches(stack)}
    named = {alarm: one.anchor for one in entries(stack) for alarm in one.alarms}
    assert set(named) == set(made)
    for alarm, anchor in named.items():
        assert made[alarm].endswith(f" What to do: {DOCUMENT}#{anchor}")
        assert f"| {alarm} | [" in book(stack)


def test_every_cloudwatch_alarm_leads_to_the_entry_that_names_it(topology):
    check_alarms(topology)


@pytest.mark.parametrize("instance_type", ["t3a.medium", "t4g.medium", "m7i.large", "trn1.2xlarge"])
def test_servers_have_alarms_by_their_type(instance_type):
    check_alarms(build(instanceType=instance_type))


def test_a_certificate_of_ones_own_is_put_where_the_stack_reads_it():
    tls = {"mode": "provided", "certificateParameter": "/example/tls/cert", "keyParameter": "/example/tls/key"}
    typed = list(commands(entry(build(tls=tls), "certificate").text))
    for line in typed:
        check(line)
    put = [line for line in typed if line.startswith("aws ssm put-parameter --overwrite ")]
    named = [re.search(r"--type (\w+) --name (\S+)", line) for line in put]
    assert [one.groups() for one in named if one] == [
        ("String", tls["certificateParameter"]),
        ("SecureString", tls["keyParameter"]),
    ]
    assert not any("put-parameter" in line for line in commands(entry(STACKS["dev"], "certificate").text))


@settings(max_examples=10, deadline=None)
@given(topologies())
def test_any_stack_has_a_runbook(stack):
    check_alarms(stack)
    for line in commands(book(stack)):
        check(line)


def test_an_alarm_without_a_section_is_refused():
    with pytest.raises(KeyError):
        runbook_of_alarm("meteorite")


def test_links_lead_to_headings(topology):
    text = book(topology)
    anchors = {one.anchor for one in entries(topology)}
    linked = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert linked
    assert linked <= anchors


@pytest.fixture
def s3():
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1")


def test_the_command_that_empties_a_bucket_leaves_no_version_and_no_delete_marker(s3, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3.create_bucket(Bucket="old")
    s3.put_bucket_versioning(Bucket="old", VersioningConfiguration={"Status": "Enabled"})
    for content in (b"1", b"2"):
        s3.put_object(Bucket="old", Key="data/a", Body=content)
    s3.delete_object(Bucket="old", Key="data/a")
    typed = commands(entry(STACKS["dev"], "destroy").text)
    (line,) = [line for line in typed if line.startswith(".venv/bin/python -c")]
    exec(shlex.split(line)[2].replace("BUCKET", "old"), {})
    s3.delete_bucket(Bucket="old")
    assert not s3.list_buckets()["Buckets"]


def test_what_outlives_a_stack_is_found_by_what_the_program_gives_it(topology):
    text = entry(topology, "destroy").text
    assert f"Name=tag:{names.TAG_STACK},Values={topology.stack}" in text
    assert f"Name=tag:{names.TAG_DATA},Values={topology.stack}" in text
    (start,) = re.findall(r"starts_with\(Name, '([^']+)'\)", text)
    for region in ("us-east-1", "eu-central-1"):
        assert names.backup_bucket(topology.stack, "123456789012", region).startswith(start)
        assert not names.bucket(topology.stack, "123456789012", region).startswith(start)
    server = topology.servers[0].name
    assert names.server_state_parameter(topology.stack, "SERVER") in text
    assert names.server_state_parameter(topology.stack, server).startswith(names.parameter_prefix(topology.stack))
    assert names.group_parameters(topology.stack) in text
    assert f"pulumi stack rm --stack {topology.stack}" in text


def test_a_section_alone_points_nowhere_that_it_does_not_print(topology):
    keys = {one.key for one in entries(topology)}
    for key in keys:
        text = alone(topology, key)
        assert "](#" not in text
        assert set(re.findall(rf"operations runbook --stack {topology.stack} ([a-z-]+)", text)) <= keys
        assert f"operations shell --stack {topology.stack} SERVER" in text


def test_a_section_alone_says_which_command_prints_the_one_it_leads_to():
    text = alone(STACKS["dev"], "HostDown")
    assert text.startswith("## A server is lost")
    assert "See the table above" not in text
    text = alone(STACKS["dev"], "SiteDown")
    assert "A disk is slow (`.venv/bin/python -m operations runbook --stack dev disk-slow`)" in text


def test_words_of_its_own_are_explained(topology):
    text = book(topology)
    introduction = text[: text.index("## ")]
    assert "A bundle is" in introduction
    assert "To apply it is" in introduction
    assert "A bundle is" in alone(topology, "wrong-bundle")


def test_the_stacks_own_names_are_in_it(topology):
    text = book(topology)
    assert f"--stack {topology.stack}" in text
    assert f"/tripod/{topology.stack}/group/initialised" in text
    assert all(server.name in text for server in topology.with_role(Role.DATABASE))
    others = set(STACKS) - {topology.stack}
    assert not [other for other in others if f"--stack {other}" in text]


def test_the_command_prints_one_entry_or_all():
    done = CliRunner().invoke(cli.main, ["runbook", "--stack", "dev", "mysqld-down"])
    assert done.exit_code == 0
    assert done.output.startswith("## MySQL is down")
    whole = CliRunner().invoke(cli.main, ["runbook", "--stack", "dev"])
    assert whole.output.startswith("# Runbook")
    wrong = CliRunner().invoke(cli.main, ["runbook", "--stack", "dev", "mysql"])
    assert wrong.exit_code == 1
    assert "mysqld-down" in wrong.output
    with pytest.raises(OperationError, match="no entry"):
        entry(STACKS["dev"], "x")
