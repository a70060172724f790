"""The judge of drills: a clean record passes, and each way of losing something is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.drills.judge import Limits, gap, judge, two_writers
from rehearsal.drills.record import Record, Request, Sample, Tail, write_lines


def write(at: float, key: str, status: int = 201, took: float = 0.01) -> Request:
    return Request("write", at, at + took, status, key)


def sample(at: float, server: str, gtids: str = "u:1-5", **state: object) -> Sample:
    return replace(
        Sample(at, server, True, False, "ONLINE", "PRIMARY", members=3, online=3, gtid_executed=gtids),
        **state,  # type: ignore[arg-type]
    )


KEYS = frozenset({"a", "b"})
CLEAN = Record(
    requests=(write(0, "a"), write(1, "b"), Request("read", 0.5, 0.6, 200)),
    samples=(sample(0, "one"), sample(0.05, "two", super_read_only=True, member_role="SECONDARY")),
    final_keys={"one": KEYS, "two": KEYS, "three": KEYS},
    final_gtids={"one": "u:1-2", "two": "u:1-2", "three": "u:1-2"},
    redundancy_restored=True,
)


def test_a_clean_record_passes() -> None:
    verdict = judge(CLEAN, Limits(write_gap=2, read_gap=2, failed_reads=0, failed_writes=0))
    assert verdict.passed
    assert verdict.acknowledged == 2


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"final_keys": {**CLEAN.final_keys, "three": frozenset({"a"})}}, "not on every copy"),
        ({"final_keys": {}}, "nobody looked"),
        ({"final_gtids": {**CLEAN.final_gtids, "three": "u:1-2,v:1"}}, "different transactions"),
        ({"redundancy_restored": False}, "redundancy"),
        ({"requests": (write(0, "a", status=503),)}, "no write was acknowledged"),
        (
            {"samples": (sample(0, "one"), sample(0.02, "two", member_state="OFFLINE", member_role=""))},
            "two servers took writes",
        ),
    ],
    ids=["lost write", "not looked", "errant transaction", "not restored", "no write", "writable outside the group"],
)
def test_each_loss_is_seen(change: dict[str, object], fault: str) -> None:
    samples = (sample(1.0, "one", "u:1-9"), *CLEAN.samples)
    record = replace(CLEAN, **{"samples": samples, **change})  # type: ignore[arg-type]
    if "samples" in change:
        # The first of the two makes progress, so it is a writer, and the other is outside of any group.
        record = replace(record, samples=(*record.samples, sample(0.5, "one", "u:1-9")))
    verdict = judge(record)
    assert not verdict.passed
    assert any(fault in one for one in verdict.faults), verdict.faults


def test_where_nobody_looked_nothing_is_said_of_lost_writes() -> None:
    verdict = judge(replace(CLEAN, final_keys={}))
    assert not verdict.lost
    assert verdict.faults == ("nobody looked at the copies afterwards",)


def test_a_partitioned_primary_that_commits_nothing_is_no_writer() -> None:
    old, new = sample(0.0, "old"), sample(0.03, "new")
    assert not two_writers([old, new, sample(0.4, "new", "u:1-9"), sample(0.4, "old")])
    assert two_writers([old, new, sample(0.4, "new", "u:1-9"), sample(0.4, "old", "u:1-5,v:1")])


def test_a_hand_over_between_two_samples_is_not_two_writers() -> None:
    old, new = sample(0.0, "old"), sample(0.03, "new")
    later = [sample(0.4, "new", "u:1-9")]
    handed = sample(0.06, "old", "u:1-7", super_read_only=True, member_role="SECONDARY")
    assert not two_writers([old, new, handed, *later])
    kept = sample(0.06, "old", "u:1-7")
    assert two_writers([old, new, kept, *later])


def test_samples_of_different_moments_are_not_compared() -> None:
    assert not two_writers([sample(0, "one", member_state="OFFLINE"), sample(1, "two", member_state="OFFLINE")])


def test_a_gap_is_the_longest_time_without_a_success() -> None:
    rows = [write(0, "a"), write(1, "b", status=503), write(2, "b", status=0), write(7, "b"), write(7.5, "c")]
    assert gap(rows, "write") == pytest.approx(7.0)
    assert gap([write(0, "a", status=503, took=4)], "write") == pytest.approx(4.0)
    assert gap(rows, "read") == 0


@pytest.mark.parametrize("limits", [Limits(write_gap=0.5), Limits(failed_writes=0), Limits(failed_reads=0)])
def test_limits_are_held(limits: Limits) -> None:
    late = replace(write(3, "c", status=503), retry_after="2")
    rows = (*CLEAN.requests, late, Request("read", 3, 4, 503))
    verdict = judge(replace(CLEAN, requests=rows), limits)
    assert len(verdict.faults) == 1


def test_a_fault_says_how_the_requests_failed() -> None:
    refused = [replace(write(n, "c", status=503), error="no_primary", retry_after="2") for n in (2, 3)]
    rows = (*CLEAN.requests, *refused, replace(write(4, "c", status=0), error="ReadTimeout: timed out"))
    verdict = judge(replace(CLEAN, requests=rows), Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ("failed writes 3 is more than 0 (2 x 503 no_primary, 1 x ReadTimeout: timed out)",)


def test_what_is_new_in_a_file_is_read_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    tail = Tail(file, Request)
    assert tail.rows() == []
    write_lines(file, [write(0, "a")])
    with file.open("a") as half:
        half.write('{"kind": "wri')
    assert tail.rows() == [write(0, "a")]
    text = file.read_text().removesuffix('{"kind": "wri')
    file.write_text(text)
    write_lines(file, [write(1, "b")])
    assert tail.rows() == [write(0, "a"), write(1, "b")]
