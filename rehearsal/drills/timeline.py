"""A record, made small: what a picture of a run needs. Times in seconds from the moment of the fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rehearsal.drills.record import READ_REPLICA, Event, Record, Request, Sample

BUCKET = 0.5
TARGET_BUCKETS = 240
"""A long run gets wider buckets, so that its picture stays readable and small."""


@dataclass(frozen=True)
class Bucket:
    """Requests that ended within `width` seconds from `at` on; latencies in seconds, of those that succeeded."""

    at: float
    reads: int
    writes: int
    failed_reads: int
    failed_writes: int
    read_latency: float | None
    write_latency: float | None
    """The slowest of twenty (p95)."""


@dataclass(frozen=True)
class Span:
    """A database server in one state: `writer`, `replica`, `waiting` (answers, in no group that works) or `down`."""

    start: float
    end: float
    state: str


@dataclass(frozen=True)
class Mark:
    """Something that happened."""

    at: float
    what: str


@dataclass(frozen=True)
class Timeline:
    """One run over time."""

    start: float
    end: float
    width: float
    buckets: tuple[Bucket, ...]
    servers: dict[str, tuple[Span, ...]]
    marks: tuple[Mark, ...]


LEAD = 8.0
"""Seconds before the fault that a picture shows; what came earlier was preparation."""


def timeline(record: Record, zero: float) -> Timeline:
    """The timeline of a record with `zero` (its clock) as the moment of the fault. ValueError without requests."""
    if not record.requests:
        raise ValueError("no request was recorded")
    start = max(min(row.start for row in record.requests), zero - LEAD)
    end = max(row.end for row in record.requests)
    width = max(BUCKET, BUCKET * -(-(end - start) // (TARGET_BUCKETS * BUCKET)))
    return Timeline(
        start=start - zero,
        end=end - zero,
        width=width,
        buckets=tuple(_buckets(record.requests, start, end, width, zero)),
        servers={name: tuple(_spans(rows, zero)) for name, rows in _by_server(record.samples, start).items()},
        marks=tuple(_mark(event, zero) for event in record.events),
    )


def from_document(document: Mapping[str, Any]) -> Timeline:
    """A timeline from a report's JSON."""
    servers = {name: tuple(Span(**span) for span in spans) for name, spans in document["servers"].items()}
    return Timeline(
        start=document["start"],
        end=document["end"],
        width=document["width"],
        buckets=tuple(Bucket(**bucket) for bucket in document["buckets"]),
        servers=servers,
        marks=tuple(Mark(**mark) for mark in document["marks"]),
    )


def _mark(event: Event, zero: float) -> Mark:
    return Mark(event.at - zero, event.what)


def _buckets(rows: Sequence[Request], start: float, end: float, width: float, zero: float) -> Iterator[Bucket]:
    count = int((end - start) // width) + 1
    sorted_in: list[list[Request]] = [[] for _ in range(count)]
    for row in (row for row in rows if row.end >= start):
        sorted_in[int((row.end - start) // width)].append(row)
    for index, inside in enumerate(sorted_in):

        def number(test: Callable[[Request], bool], inside: list[Request] = inside) -> int:
            return sum(map(test, inside))

        yield Bucket(
            at=start + index * width - zero,
            reads=number(lambda row: row.kind == "read" and row.ok),
            writes=number(lambda row: row.kind == "write" and row.ok),
            failed_reads=number(lambda row: row.kind == "read" and not row.ok),
            failed_writes=number(lambda row: row.kind == "write" and not row.ok),
            read_latency=_slow([row for row in inside if row.kind == "read" and row.ok]),
            write_latency=_slow([row for row in inside if row.kind == "write" and row.ok]),
        )


def _slow(rows: Sequence[Request]) -> float | None:
    ranked = sorted(row.end - row.start for row in rows)
    return ranked[int(0.95 * (len(ranked) - 1))] if ranked else None


def _by_server(samples: Sequence[Sample], start: float) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in (sample for sample in samples if sample.at >= start):
        found.setdefault(sample.server, []).append(sample)
    return dict(sorted(found.items()))


def _spans(samples: Sequence[Sample], zero: float) -> Iterator[Span]:
    runs = [(state, list(rows)) for state, rows in groupby(samples, key=state_of)]
    for index, (state, rows) in enumerate(runs):
        following = runs[index + 1][1][0].at if index + 1 < len(runs) else rows[-1].at
        yield Span(rows[0].at - zero, following - zero, state)


def state_of(sample: Sample) -> str:
    """What a server was at a sample: see Span."""
    if not sample.answered:
        return "down"
    if sample.member_role == READ_REPLICA and sample.super_read_only:
        return "replica"
    if sample.member_state != "ONLINE" or sample.online * 2 <= sample.members:
        return "waiting"
    return "writer" if sample.member_role == "PRIMARY" and not sample.super_read_only else "replica"
