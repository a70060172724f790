"""Every drill has its line in the runbook: what one sees, which alerts fire, and the section that says what to do."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from operations import cli
from operations.runbook.book import book, entries, entry
from operations.runbook.drills import DRILL_ENTRIES, drills
from rehearsal.drills import page
from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import no_floating_address
from tools.document import stacks
from userdata.prometheus.alerts import ALERTS, alerts

STACKS = {topology.stack: topology for topology in stacks()}


@pytest.fixture(params=STACKS.values(), ids=STACKS)
def topology(request):
    return request.param


def test_every_drill_has_an_entry_and_nothing_else_has():
    assert set(DRILL_ENTRIES) == set(DRILLS)


def test_drills_of_the_floating_address_are_known():
    floating = {name for name, one in DRILL_ENTRIES.items() if one.floating}
    assert floating == {name for name, drill in DRILLS.items() if drill.obstacle is no_floating_address}


def test_each_leads_to_a_section_and_to_alerts_that_the_stack_has(topology):
    keys = {one.key for one in entries(topology)}
    known = {alert.name for alert in alerts(topology)}
    for name, one in drills(topology).items():
        assert one.entry in keys, name
        assert set(one.alerts) <= known, name
        assert one.sees.endswith(".")


def test_only_what_hurts_nobody_raises_no_alert():
    silent = {name for name, one in DRILL_ENTRIES.items() if not one.alerts}
    assert silent == {"switchover", "haproxy-reloaded", "packet-loss-1"}
    assert {alert for one in DRILL_ENTRIES.values() for alert in one.alerts} <= {alert.name for alert in ALERTS}


def test_the_table_shows_the_drills_that_the_stack_can_have(topology):
    table = book(topology).split("## What each drill looks like")[1].split("\n## ")[0]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert shown[2:] == list(drills(topology))


@pytest.mark.parametrize("drill", DRILLS)
def test_a_drills_name_finds_its_section(drill):
    topology = STACKS["staging"]
    assert entry(topology, drill).key == DRILL_ENTRIES[drill].entry


@pytest.mark.parametrize("name", ["HostDown", "tripod-staging-server-2-instance", "host-lost", "server-lost"])
def test_the_command_takes_whatever_name_is_at_hand(name):
    done = CliRunner().invoke(cli.main, ["runbook", "--stack", "staging", name])
    assert done.exit_code == 0
    assert done.output.startswith("## A server is lost\n")


def test_the_report_of_drills_says_how_to_find_it():
    text = (page.HERE / "page.html.j2").read_text(encoding="utf-8")
    assert "operations runbook --stack {{ topology.stack }} {{ one.drill }}" in text
