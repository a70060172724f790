"""Drills without a stack: the catalogue, figures, pictures and pages."""

from __future__ import annotations

import datetime
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from operations.measured import Measured, measured, measured_rows
from rehearsal.cli import main
from rehearsal.drills import page, table
from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Drill, Result, single_load_balancer
from rehearsal.drills.exercise import control_holds, exercise
from rehearsal.drills.judge import Limits, astray, judge
from rehearsal.drills.outcome import Outcome, Spread, summaries
from rehearsal.drills.plot import plot
from rehearsal.drills.record import Event, Record, Request, Sample
from rehearsal.drills.safety import SAFETY, Edited
from rehearsal.drills.stack import Stack
from rehearsal.drills.suite import choose
from rehearsal.drills.timeline import state_of, timeline
from rehearsal.paths import invocation
from rehearsal.shell import RehearsalError
from tools.document import stacks
from tools.drill_picture import main as draw
from tools.figures import main as take_figures
from topology.model import Application
from userdata.render import bundle

WRITER = Sample(0, "server-1", True, False, "ONLINE", "PRIMARY", members=3, online=3, gtid_executed="u:1")
REPLICA = replace(WRITER, server="server-2", super_read_only=True, member_role="SECONDARY")
TOPOLOGIES = {topology.stack: topology for topology in stacks()}


def record(seconds: int = 20) -> Record:
    requests = [Request("read", n / 10, n / 10 + 0.02, 200) for n in range(seconds * 10)]
    requests += [
        Request("write", n / 5, n / 5 + 0.2, 503 if 5 <= n / 5 < 8 else 201, str(n)) for n in range(seconds * 5)
    ]
    samples = [replace(one, at=n / 20) for n in range(seconds * 20) for one in (WRITER, REPLICA)]
    return Record(tuple(requests), tuple(samples), (Event(5.0, "killed <it>"), Event(8.2, "writes acknowledged")))


def outcome(result: Result = Result.PASSED, reason: str = "", **changes: object) -> Outcome:
    found = Outcome("primary-killed", "what", 1, result, reason, "", judge(record()), timeline(record(), 5.0))
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_timeline_counts_every_request_once_from_the_fault_on() -> None:
    line = timeline(record(), 5.0)
    assert line.start == -5.0
    assert sum(one.reads + one.writes + one.failed_reads + one.failed_writes for one in line.buckets) == 20 * 15
    failed = [one for one in line.buckets if one.failed_writes]
    assert sum(one.failed_writes for one in failed) == 15
    assert all(-0.5 < one.at < 3.5 and one.write_latency is None for one in failed[1:-1])
    assert [span.state for span in line.servers["server-1"]] == ["writer"]
    assert line.marks[0].at == 0


def test_a_long_run_gets_wider_buckets() -> None:
    line = timeline(record(600), 0.0)
    assert len(line.buckets) <= 242
    assert line.width > 2


@pytest.mark.parametrize(
    "change, state",
    [
        ({}, "writer"),
        ({"super_read_only": True}, "replica"),
        ({"member_state": "RECOVERING"}, "waiting"),
        ({"online": 1}, "waiting"),
        ({"answered": False}, "down"),
        ({"member_state": "OFFLINE", "member_role": "READ_REPLICA", "super_read_only": True}, "replica"),
        ({"member_state": "OFFLINE", "member_role": "READ_REPLICA"}, "waiting"),
    ],
)
def test_what_a_server_was(change: dict[str, object], state: str) -> None:
    assert state_of(replace(WRITER, **change)) == state  # type: ignore[arg-type]


def test_a_server_that_takes_writes_outside_its_group_is_seen() -> None:
    stray = replace(WRITER, server="server-3", at=0.01, member_state="OFFLINE", member_role="")
    assert astray([REPLICA, stray]) == [stray]
    assert not astray([REPLICA, replace(stray, super_read_only=True)])
    assert not astray([replace(REPLICA, online=1), stray]), "without a majority elsewhere nobody can be bypassed"
    found = judge(replace(record(), samples=(REPLICA, stray)))
    assert any("outside its group" in fault for fault in found.faults)


def test_a_refusal_says_when_to_come_back() -> None:
    assert any("without Retry-After" in fault for fault in judge(record()).faults)
    honest = tuple(replace(row, retry_after="2") if row.status == 503 else row for row in record().requests)
    assert not any("Retry-After" in fault for fault in judge(replace(record(), requests=honest)).faults)


def test_figures_are_values_that_were_measured() -> None:
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0)
    assert Spread.of([float(n) for n in range(1, 11)]) == Spread(5.0, 10.0, 10.0)
    assert Spread.of([float(n) for n in range(1, 101)]) == Spread(50.0, 95.0, 100.0)


def test_several_runs_are_as_good_as_the_worst() -> None:
    (one,) = summaries([outcome(), outcome(Result.FAILED, "lost it"), outcome()])
    assert (one.result, one.reason) == (Result.FAILED, "lost it")
    assert len(one.measured) == 3


@pytest.mark.parametrize("drills,runs,width", [(list(DRILLS), 1, 80), (["host-lost-with-load-balancer"], 3, 130)])
def test_a_table_of_drills_fits_where_it_is_read(drills: list[str], runs: int, width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    verdict = replace(judge(record()), write_gap=31.72, read_gap=27.37, failed_reads=618, failed_writes=785)
    found = [
        replace(outcome(), drill=name, number=number, verdict=replace(verdict, write_gap=30.0 + number))
        for name in drills
        for number in range(runs)
    ]
    console.print(table.of(summaries(found)))
    printed = cast(io.StringIO, console.file).getvalue()
    assert "…" not in printed
    assert all(name in printed for name in drills)
    assert ("p95" in printed) == (runs > 1)
    assert ("31.00 / 32.00 / 32.00" in printed) == (runs > 1)


@pytest.mark.parametrize("standalone", [False, True])
def test_a_picture_is_svg_that_loads_nothing(standalone: bool) -> None:
    text = plot(outcome(), standalone=standalone)
    root = ElementTree.fromstring(text)
    assert "killed <it>" in "".join(root.itertext())
    assert not re.search(r"(href|src|url\()", text)


def test_a_page_is_one_file_and_says_what_machines_read(tmp_path: Path) -> None:
    topology = TOPOLOGIES["dev"]
    untried = Outcome("vrrp-blocked", "what", 1, Result.NOT_POSSIBLE, "no such part")
    found = summaries([outcome(), outcome(Result.FAILED, "<script>alert(1)</script>"), untried])
    where = page.write(tmp_path, topology, found, datetime.datetime.now().astimezone())
    text = where.read_text()
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert not re.search(r"@import|url\(", text)
    assert "no such part" in text
    document = json.loads((tmp_path / "report.json").read_text())
    assert [one["result"] for one in document["drills"]] == ["failed", "not possible here"]
    assert len(document["drills"][0]["runs"]) == 2
    assert document["drills"][0]["runs"][0]["timeline"]["buckets"]


def test_the_picture_of_the_documentation_is_drawn_from_a_report(tmp_path: Path) -> None:
    page.write(tmp_path, TOPOLOGIES["dev"], summaries([outcome()]), datetime.datetime.now().astimezone())
    report, picture = str(tmp_path / "report.json"), tmp_path / "drill.svg"
    assert CliRunner().invoke(draw, [report, "primary-killed", str(picture)]).exit_code == 0
    assert picture.read_text() == plot(outcome(), standalone=True) + "\n"
    refused = CliRunner().invoke(draw, [report, "host-lost", str(picture)])
    assert refused.exit_code == 1
    assert "drills in it: primary-killed" in refused.output


def test_figures_are_taken_from_reports(tmp_path: Path) -> None:
    report, file = tmp_path / "report.json", tmp_path / "measured.json"

    def take(*outcomes: Outcome) -> list[dict[str, object]]:
        page.write(tmp_path, TOPOLOGIES["dev"], summaries(outcomes), datetime.datetime.now().astimezone())
        assert CliRunner().invoke(take_figures, [str(report), "--file", str(file)]).exit_code == 0
        return list(json.loads(file.read_text())["drills"])

    (row,) = take(outcome(), outcome(), replace(outcome(), drill="unjudged", verdict=None))
    found = Measured.of(row)
    assert (found.drill, found.stack, found.edge, found.runs) == ("primary-killed", "dev", "eip", 2)
    assert found.write_gap.worst == round(outcome().verdict.write_gap, 2)  # type: ignore[union-attr]
    assert measured_rows([found])[0][:3] == ("primary-killed", "dev", "2")
    # A run without a safety feature says nothing of the stack as it is; a newer one of a drill stands for the older.
    assert take(replace(outcome(), without="retries")) == [row]
    assert [one["runs"] for one in take(outcome())] == [1]


def test_figures_of_something_else_are_refused(tmp_path: Path) -> None:
    other, file = tmp_path / "other.json", tmp_path / "measured.json"
    other.write_text("{}")
    refused = CliRunner().invoke(take_figures, [str(other), "--file", str(file)])
    assert refused.exit_code == 1
    assert "is no report" in refused.output
    assert not file.exists()


def test_every_figure_that_is_shown_was_measured_on_a_shipped_stack() -> None:
    assert {one.stack for one in measured()} <= set(TOPOLOGIES)
    assert all(one.edge == TOPOLOGIES[one.stack].edge for one in measured())
    assert {one.drill for one in measured()} <= set(DRILLS)
    assert not [one.drill for one in measured() if one.result == "failed" or one.lost]


def test_what_a_stack_cannot_survive_follows_from_its_topology() -> None:
    assert single_load_balancer(TOPOLOGIES["dev"]) == "single load balancer (server-1)"
    assert not single_load_balancer(TOPOLOGIES["staging"])
    assert not single_load_balancer(TOPOLOGIES["prod"])


def test_every_feature_is_a_control_of_a_drill_and_every_control_a_feature() -> None:
    named = {control for drill in DRILLS.values() for control in drill.controls}
    assert named == set(SAFETY)


@pytest.mark.parametrize("drill", [drill for drill in DRILLS.values() if drill.controls], ids=lambda drill: drill.name)
def test_a_drill_judges_what_its_controls_must_fail_by(drill: Drill) -> None:
    judged = {field.replace("_", " ") for field, limit in asdict(drill.limits).items() if limit is not None}
    unjudged = {field.replace("_", " ") for field in asdict(Limits())} - judged
    for name in drill.controls:
        assert not any(SAFETY[name].fault.startswith(field) for field in unjudged), name


def test_failed_reads_are_judged_where_no_entrance_is_lost() -> None:
    drill = DRILLS["application-host-lost"]
    assert drill.limits_for(TOPOLOGIES["staging"]).failed_reads == 0
    assert drill.limits_for(TOPOLOGIES["dev"]).failed_reads == 0
    assert drill.limits_for(TOPOLOGIES["prod"]) == drill.limits_at_the_edge
    assert drill.limits_for(TOPOLOGIES["five"]).failed_reads == 0


def test_a_control_that_would_show_nothing_on_a_stack_is_not_tried(tmp_path: Path) -> None:
    balanced = SimpleNamespace(topology=TOPOLOGIES["prod"])
    # Every application server of this stack is a load balancer that the world sends to.
    unjudged = "on this stack failed reads are not judged"
    alone = SimpleNamespace(topology=SimpleNamespace(application=None, apps=[SimpleNamespace(name="server-1")]))
    for stack, drill, feature, why in (
        (balanced, "active-load-balancer-lost", "vrrp", "this stack has no floating address"),
        (alone, "application-killed", "retries", "single application server (server-1)"),
        (balanced, "application-host-lost", "retries", unjudged),
    ):
        (found,) = exercise(cast(Stack, stack), DRILLS[drill], tmp_path, safety=feature)
        assert (found.result, found.reason) == (Result.NOT_POSSIBLE, why)


def test_a_stack_with_an_application_of_its_own_is_not_drilled(tmp_path: Path) -> None:
    stack = SimpleNamespace(
        topology=replace(TOPOLOGIES["dev"], application=Application("s3://a/b.tgz", "", "", 1, "/"))
    )
    (found,) = exercise(cast(Stack, stack), DRILLS["primary-killed"], tmp_path)
    assert found.result is Result.NOT_POSSIBLE
    assert "the sample application only" in found.reason


EDITS = [(name, safety.switch_off) for name, safety in SAFETY.items() if isinstance(safety.switch_off, Edited)]


@pytest.mark.parametrize("name, edit", EDITS, ids=[name for name, _ in EDITS])
def test_what_a_control_switches_off_is_in_the_rendered_file(name: str, edit: Edited) -> None:
    topology = TOPOLOGIES["staging"]
    for server in topology.with_role(edit.role):
        files = {file.path: file.content for file in bundle(topology, server).files}
        text = files[edit.path]
        assert edit.changed(server.name, text) != text, name
    with pytest.raises(RehearsalError, match="switches nothing off"):
        edit.changed("server-1", "another file\n")


def test_a_control_must_fail_for_its_own_reason() -> None:
    wrong = outcome(Result.FAILED, "something else", without="retries")
    assert not control_holds(wrong)
    assert not control_holds(replace(wrong, result=Result.PASSED))
    assert control_holds(replace(wrong, reason="failed reads 3 is more than 0"))


@pytest.mark.parametrize(
    "names, every, safety, complaint",
    [
        ((), False, None, "--all"),
        (("primary-killed",), True, None, "not both"),
        (("nothing",), False, None, "no drill nothing; drills: primary-killed"),
        (("primary-killed",), False, "nothing", "no safety feature nothing; features: "),
        (("primary-killed",), False, "retries", "its features: read-only-at-boot"),
    ],
)
def test_a_wrong_choice_is_told(names: tuple[str, ...], every: bool, safety: str | None, complaint: str) -> None:
    with pytest.raises(RehearsalError, match=complaint):
        choose(names, every=every, safety=safety)


def test_records_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    refused = CliRunner().invoke(main, ["drill", "--stack", "nowhere", "primary-killed", "--report", str(tmp_path)])
    assert refused.exit_code == 1
    assert "is not empty" in refused.output
    assert (tmp_path / "report.json").read_text() == "{}"


def test_all_with_a_feature_off_are_the_drills_that_need_it() -> None:
    assert {"retries"} <= set(choose((), every=True, safety="retries")[0].controls)


def test_the_list_needs_no_stack_and_a_drill_says_how_to_start_one() -> None:
    listed = CliRunner().invoke(main, ["drill", "--list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in DRILLS)
    refused = CliRunner().invoke(main, ["drill", "--stack", "nowhere", "--all"])
    assert refused.exit_code == 1
    assert f"{invocation()} up --stack nowhere" in refused.output
