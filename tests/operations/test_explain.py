"""The card: what it draws and what it says happens."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console

from operations.drawing import COLUMN, GUTTER, draw
from operations.explain import explain
from operations.failures import DNS_FAILOVER, NLB_HEALTH_CHECK, describe, single_failures, weaknesses
from operations.flow_table import flow_rows
from operations.measured import last, measured
from operations.tables import markdown_table
from topology.build import build_topology
from topology.flows import flows
from topology.model import Topology
from topology.settings import Settings


def topology(**raw: object) -> Topology:
    return build_topology(Settings.parse(raw), stack="dev", region="eu-central-1")


def failures(stack: Topology) -> dict:
    return {failure.event: failure for failure in single_failures(stack)}


def seconds(effects):
    return [effect.seconds for effect in effects]


def figure(drill, edge, name):
    """What the shipped stack with this edge measured, read afresh."""
    stack = {"eip": "dev", "floating-eip": "staging", "nlb": "prod"}[edge]
    (found,) = [one for one in measured() if (one.drill, one.stack, one.edge) == (drill, stack, edge)]
    return getattr(found, name)


REFERENCE_DRAWING = """\
server              server-1            server-2            server-3
zone                eu-central-1a       eu-central-1b       eu-central-1c
address             10.20.0.10          10.20.16.11         10.20.32.12

world
Elastic IP
tcp 80, 443 ─────────────────┐
                             ▼
                    ┌────────────────┐
load balancer       │    HAProxy     │
                    └────────────────┘
tcp 8080                     ├───────────────────┐
                             ▼                   ▼
                    ┌────────────────┐  ┌────────────────┐
application         │  application   │  │  application   │
                    └────────────────┘  └────────────────┘
tcp 3306                     ├───────────────────┼───────────────────┐
                             ▼                   ▼                   ▼
                    ┌────────────────┐  ┌────────────────┐  ┌────────────────┐
database            │    primary     │  │    replica     │  │    replica     │
                    └────────────────┘  └────────────────┘  └────────────────┘
                                                            ┌────────────────┐
monitoring                                                  │   Prometheus   │
                                                            └────────────────┘"""


def test_the_drawing_it_all_starts_from():
    assert draw(topology()) == REFERENCE_DRAWING


@pytest.mark.parametrize("preset", ["reference", "active-passive", "active-active"])
@pytest.mark.parametrize("width", [20, 60, 80, 110, 200])
def test_a_drawing_keeps_to_its_width(preset, width):
    stack = topology(preset=preset)
    drawing = draw(stack, width)
    assert max(len(line) for line in drawing.splitlines()) <= max(width, GUTTER + COLUMN)
    for server in stack.servers:
        assert str(server.address) in drawing


def test_one_load_balancer_stands_by():
    drawing = draw(topology(preset="active-passive"))
    assert drawing.count("HAProxy, standby") == 1
    assert drawing.count("primary") == 1


def test_read_replicas_are_drawn_as_such():
    servers = [{"name": f"server-{n}", "roles": ["load_balancer", "app", "database"]} for n in (1, 2, 3)]
    stack = topology(preset="active-active", servers=[*servers, {"name": "server-4", "roles": ["read_replica"]}])
    assert draw(stack).count("read replica") == 1


def test_reference_depends_on_its_load_balancer():
    stack = topology()
    found = failures(stack)
    lost = found["host server-1 lost"]
    assert seconds(lost.reads) == [None]
    assert None in seconds(lost.writes)
    assert "no load balancer is left" in lost.reads[0].why
    assert found["host server-2 lost"].reads == ()
    assert found["host server-3 lost"].reads == found["host server-3 lost"].writes == ()
    texts = " ".join(weakness.text for weakness in weaknesses(stack))
    assert "server-1 is the only load balancer" in texts
    assert "server-3 is the only monitoring server" in texts
    assert "server-1 is the active load balancer and the preferred primary" in texts


def test_active_passive_survives_each_loss():
    stack = topology(preset="active-passive")
    found = failures(stack)
    assert not [failure for failure in found.values() if failure.lasting]
    assert len(found["host server-1 lost"].reads) == 1
    assert found["host server-2 lost"].reads == ()
    assert figure("host-lost", "floating-eip", "write_gap").p50 in seconds(found["host server-3 lost"].writes)
    assert weaknesses(stack) == ()


def test_active_active_loses_a_share_for_a_while():
    stack = topology(preset="active-active")
    lost = failures(stack)["host server-2 lost"]
    assert [(effect.seconds, round(effect.share, 2)) for effect in lost.reads] == [(NLB_HEALTH_CHECK, 0.33)]
    assert str(lost.reads[0]).startswith("about 1 in 3 requests fail for up to 10 s (estimate): ")
    writes = seconds(failures(stack)["host server-1 lost"].writes)
    assert writes == [NLB_HEALTH_CHECK, 0, figure("host-lost", "nlb", "write_gap").p50]
    assert weaknesses(stack) == ()


def test_reads_and_writes_have_figures_of_their_own():
    found = failures(topology(preset="active-passive"))
    lost, killed = found["host server-1 lost"], found["HAProxy on server-1 killed"]
    for drill, failure in (("active-load-balancer-lost", lost), ("haproxy-killed", killed)):
        for effects, name in ((failure.reads, "read_gap"), (failure.writes, "write_gap")):
            assert effects[0].seconds == figure(drill, "floating-eip", name).p50, (drill, name)


def test_figures_are_those_of_the_stack_itself_or_of_its_kind_of_edge():
    own = failures(topology())["HAProxy on server-1 killed"].reads[0]
    assert own.seconds == figure("haproxy-killed", "eip", "read_gap").p50
    assert " on " not in own.basis
    elsewhere = failures(dataclasses.replace(topology(), stack="acceptance"))
    for event, drill in (
        ("HAProxy on server-1 killed", "haproxy-killed"),
        ("mysqld on the primary killed", "primary-killed"),
    ):
        (effect,) = elsewhere[event].writes
        assert effect.seconds == figure(drill, "eip", "write_gap").p50
        assert effect.basis.endswith(", on dev")


def test_a_share_of_the_load_balancers_is_away_as_long_as_the_only_one_would_be():
    stack = dataclasses.replace(topology(preset="active-active"), stack="prod")
    (effect,) = failures(stack)["HAProxy on server-1 killed"].reads
    # prod's own figure is the time until any other answered.
    assert effect.seconds == figure("haproxy-killed", "eip", "read_gap").p50
    assert effect.basis.endswith(", on dev")
    assert "1 in 3 requests fail for 0." in str(effect)


def test_the_only_load_balancer_behind_a_network_load_balancer_is_no_share():
    (effect,) = failures(topology(edge="nlb"))["HAProxy on server-1 killed"].reads
    assert (effect.seconds, effect.share) == (figure("haproxy-killed", "eip", "read_gap").p50, 1)


def test_figures_that_a_stack_did_not_survive_are_nobodys():
    assert last("active-load-balancer-lost", "dev", "eip").stack != "dev"
    with pytest.raises(KeyError):
        last("active-load-balancer-lost", "dev", "eip", only=True)


def test_a_write_in_progress_on_a_lost_application_server_may_fail():
    words = "new requests go on; a write in progress there may fail"
    found = failures(topology())
    for event in ("application on server-1 killed", "host server-2 lost"):
        assert describe(found[event].reads) == "go on"
        assert describe(found[event].writes) == words
    # Who is told of an interruption need not hear of the moment before it.
    assert words not in describe(failures(topology(preset="active-passive"))["host server-3 lost"].writes)


def test_dns_takes_its_time():
    from topology.names import Edge

    stack = dataclasses.replace(topology(preset="active-active"), edge=Edge.DNS)
    assert seconds(failures(stack)["host server-2 lost"].reads) == [DNS_FAILOVER]


def test_one_zone_for_all_is_a_weakness():
    stack = topology(preset="active-active", zones=["eu-central-1a"])
    lost = failures(stack)["zone eu-central-1a lost (3 servers)"]
    assert set(seconds(lost.reads)) == {None}
    assert any("zone eu-central-1a lost" in weakness.text for weakness in weaknesses(stack))


def test_two_zones_leave_the_majority_in_one():
    stack = topology(preset="active-active", zones=["eu-central-1a", "eu-central-1b"])
    lost = failures(stack)["zone eu-central-1a lost (2 servers)"]
    assert "the database group has no majority" in [effect.why for effect in lost.writes]


def test_one_application_server_is_a_weakness():
    servers = [
        {"name": "server-1", "roles": ["load_balancer", "database"]},
        {"name": "server-2", "roles": ["load_balancer", "app", "database"]},
        {"name": "server-3", "roles": ["database", "monitoring"]},
    ]
    stack = topology(preset="active-passive", servers=servers, preferredPrimary="server-3")
    assert "no application server is left" in [e.why for e in failures(stack)["host server-2 lost"].reads]
    assert any("server-2 is the only application server" in weakness.text for weakness in weaknesses(stack))


def test_a_fourth_and_a_fifth_member_tolerate_more_than_one_zone_with_two():
    servers = [{"name": f"server-{n}", "roles": ["load_balancer", "app", "database"]} for n in range(1, 6)]
    stack = topology(preset="active-active", servers=servers)
    zones = [failure for event, failure in failures(stack).items() if event.startswith("zone")]
    assert len(zones) == 2
    assert not [failure for failure in zones if failure.lasting]


def grown(**raw: object) -> Topology:
    """Three members of which two stand in one zone, and a read replica in the other."""
    servers = [
        {"name": f"server-{n}", "roles": ["load_balancer", "app", "database"], "zone": "eu-central-1a"} for n in (1, 2)
    ]
    servers += [{"name": "server-3", "roles": ["load_balancer", "app", "database"], "zone": "eu-central-1b"}]
    servers += [{"name": "server-4", "roles": ["read_replica"], "zone": "eu-central-1b"}]
    zones = ["eu-central-1a", "eu-central-1b"]
    return topology(preset="active-active", servers=servers, zones=zones, **raw)


def test_a_read_replica_that_is_lost_is_noticed_by_nobody():
    found = failures(grown())
    for event in ("host server-4 lost", "mysqld on a read replica killed"):
        assert found[event].reads == found[event].writes == ()
    assert "mysqld on a read replica killed" not in failures(topology())


def test_without_a_majority_a_read_replica_answers_only_while_its_data_is_fresh():
    lost = failures(grown(replicaLagSeconds=12))["zone eu-central-1a lost (2 servers)"]
    assert [effect.why for effect in lost.reads if effect.seconds is None] == [
        "the database group has no majority; read replicas answer for 12 s more"
    ]
    assert "the database group has no majority" in [effect.why for effect in lost.writes]


def test_every_flow_has_its_row():
    stack = topology(preset="active-passive")
    rows = flow_rows(stack)
    assert len(rows) == len(flows(stack)) == len(set(rows))
    assert ("world", "load_balancer", "tcp", "443", "visitors") in rows
    assert any(row[2:4] == ("vrrp", "any") for row in rows)


def test_markdown():
    assert markdown_table(("a", "b"), [("1", "x | y")]) == "| a | b |\n| --- | --- |\n| 1 | x \\| y |\n"


@pytest.mark.parametrize("preset,warned", [("reference", True), ("active-active", False)])
def test_the_card(preset, warned):
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as capture:
        explain(topology(preset=preset), console)
    text = capture.get()
    for part in (
        "Stack dev in eu-central-1: 3 servers",
        "▼",
        "Flows",
        "Single failures",
        "mysqld on the primary killed",
    ):
        assert part in text
    assert ("WARNING: server-1 is the only load balancer" in text) is warned
    assert ("No single point of failure: the site survives the loss of any one server, zone or" in text) is not warned
    # What is weak stands before what is merely long.
    assert text.index("single point" if not warned else "WARNING") < text.index("Single failures") < text.index("Flows")


def test_one_server_is_one_server():
    only = {"name": "server-1", "roles": ["load_balancer", "app", "database"]}
    console = Console(width=120)
    with console.capture() as capture:
        explain(topology(servers=[only]), console)
    assert "Stack dev in eu-central-1: 1 server\n" in capture.get()
    assert "server-1 is the only member of the database group" in capture.get()
