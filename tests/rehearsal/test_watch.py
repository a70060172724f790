"""What is looked at after a drill: every copy of the data, read replicas included."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rehearsal.drills.judge import judge
from rehearsal.drills.record import READ_REPLICA, Record, Request
from rehearsal.drills.sampler import Sampler
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import final_state
from topology.build import build_topology
from topology.settings import Settings

SERVERS = [
    {"name": "server-1", "roles": ["load_balancer", "app", "database"]},
    {"name": "server-2", "roles": ["app", "database"]},
    {"name": "server-3", "roles": ["database", "monitoring"]},
    {"name": "server-4", "roles": ["read_replica"]},
]


class Quiet(Stack):
    """A stack whose servers hold what the test says."""

    def __init__(self, held: dict[str, frozenset[str]]) -> None:
        self.topology = build_topology(Settings.parse({"servers": SERVERS}), stack="dev", region="eu-central-1")
        self.held = held

    def query(self, server: str, sql: str) -> list[dict[str, Any]]:
        return [{"key": key} for key in sorted(self.held[server])]

    def member(self, server: str) -> Any:
        return SimpleNamespace(gtid_executed=f"u:1-{len(self.held[server])}")


ALL = frozenset({"a", "b"})
MEMBERS = {f"server-{number}": ALL for number in (1, 2, 3)}
REQUESTS = tuple(Request("write", at, at + 0.01, 201, key) for at, key in enumerate(sorted(ALL)))


@pytest.mark.parametrize(
    "on_replica, faults",
    [(ALL, 0), (frozenset({"a"}), 2)],
    ids=["all writes", "one write is missing"],
)
def test_an_acknowledged_write_must_be_on_the_read_replica_too(on_replica: frozenset[str], faults: int) -> None:
    keys, gtids = final_state(Quiet(MEMBERS | {"server-4": on_replica}), timeout=0.0)
    verdict = judge(Record(requests=REQUESTS, final_keys=keys, final_gtids=gtids, redundancy_restored=True))
    assert keys["server-4"] == on_replica
    assert len(verdict.faults) == faults, verdict.faults
    assert verdict.lost == tuple(sorted(ALL - on_replica))


class Answer:
    """A connection whose server is in no group and read only."""

    def cursor(self) -> Answer:
        return self

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        assert "replication_group_members" in sql

    def fetchone(self) -> dict[str, object]:
        return {
            "super_read_only": 1,
            "gtid_executed": "u:1-2",
            "member_state": "OFFLINE",
            "member_role": "",
            "members": 1,
            "online": 0,
        }


class Answering(Quiet):
    def connect(self, server: str) -> Any:
        return Answer()


def test_the_sampler_looks_at_the_read_replica_and_says_what_it_is(tmp_path: Path) -> None:
    with Sampler(Answering({}), tmp_path / "samples.jsonl") as sampler:
        wait_until("a sample of each", lambda: len({one.server for one in sampler.samples}) == 4, timeout=30)
    roles = {one.server: one.member_role for one in sampler.samples}
    assert roles == {"server-1": "", "server-2": "", "server-3": "", "server-4": READ_REPLICA}
