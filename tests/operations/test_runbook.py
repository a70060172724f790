"""The runbook: every failure has an entry, every entry its parts, and every command in it can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from components.monitoring import watches
from components.runbook import runbook as runbook_of_alarm
from operations import cli
from operations.errors import OperationError
from operations.failures import single_failures
from operations.runbook.book import PARTS, book, entries, entry, entry_of_failure
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
PLANNED = {"instance-type", "planned-work", "remove-servers", "destroy"}


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
        "pulumi undo --stack dev",
        "pulumi up",
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
