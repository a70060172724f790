"""The judge: from a record to a verdict. Pure, and the same for every drill."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rehearsal.drills.record import Kind, Record, Request, Sample

SAME_MOMENT = 0.05
"""Two samples so close together (s) count as one moment."""
PROGRESS = 1.0
"""A group that can commit shows it within so many seconds, with a client that writes all the time."""
SHOWN = 3
"""Ways of failing that a fault tells."""


@dataclass(frozen=True)
class Verdict:
    """What a run showed. Times in seconds. `faults` is empty when it passed."""

    faults: tuple[str, ...]
    acknowledged: int
    lost: tuple[str, ...]
    two_writers: int
    astray: int
    """Samples of a server that took writes outside its group."""
    bare_refusals: int
    """Writes answered 503 that did not say when to come back."""
    errant: dict[str, str]
    write_gap: float
    read_gap: float
    requests: int
    failures: dict[Kind, tuple[str, ...]]
    """Of reads and of writes: how often they failed in which way, the most frequent first."""
    failed_reads: int
    failed_writes: int
    redundancy_restored: bool

    @property
    def passed(self) -> bool:
        """Whether nothing is held against it."""
        return not self.faults


@dataclass(frozen=True)
class Limits:
    """What a drill allows. None: not judged."""

    write_gap: float | None = None
    read_gap: float | None = None
    failed_reads: int | None = None
    failed_writes: int | None = None


def judge(record: Record, limits: Limits = Limits()) -> Verdict:
    """Hold a record against what must always be true, and against the limits of its drill."""
    acknowledged = {row.key for row in record.requests if row.kind == "write" and row.ok}
    # Where nobody could look, nothing is known of what is lost; that is a fault of its own.
    on_all = frozenset.intersection(*record.final_keys.values()) if record.final_keys else frozenset(acknowledged)
    lost = tuple(sorted(acknowledged - on_all))
    two = two_writers(record.samples)
    errant = {} if len(set(record.final_gtids.values())) <= 1 else dict(record.final_gtids)
    verdict = Verdict(
        faults=(),
        acknowledged=len(acknowledged),
        lost=lost,
        two_writers=len(two),
        astray=len(astray(record.samples)),
        bare_refusals=sum(row.kind == "write" and row.status == 503 and not row.retry_after for row in record.requests),
        errant=errant,
        write_gap=gap(record.requests, "write"),
        read_gap=gap(record.requests, "read"),
        requests=len(record.requests),
        failures={"read": failures(record.requests, "read"), "write": failures(record.requests, "write")},
        failed_reads=sum(row.kind == "read" and not row.ok for row in record.requests),
        failed_writes=sum(row.kind == "write" and not row.ok for row in record.requests),
        redundancy_restored=record.redundancy_restored,
    )
    faults = [*_always(verdict, record, two), *_limits(verdict, limits)]
    return Verdict(**{**verdict.__dict__, "faults": tuple(faults)})


def _always(verdict: Verdict, record: Record, two: Sequence[tuple[Sample, Sample]]) -> Iterable[str]:
    if not verdict.acknowledged:
        yield "no write was acknowledged: the drill showed nothing"
    if not record.final_keys:
        yield "nobody looked at the copies afterwards"
    if verdict.lost:
        shown = ", ".join(verdict.lost[:3])
        count = f"{len(verdict.lost)} of {verdict.acknowledged}"
        yield f"{count} acknowledged writes are not on every copy ({shown}, ...)"
    if two:
        first, second = two[0]
        who = f"{first.server} and {second.server} at {first.at:.2f}"
        yield f"two servers took writes in {len(two)} samples, first {who}"
    if verdict.astray:
        yield f"a server took writes outside its group in {verdict.astray} samples"
    if verdict.bare_refusals:
        yield f"{verdict.bare_refusals} writes were refused (503) without Retry-After"
    if verdict.errant:
        yield f"the copies hold different transactions: {verdict.errant}"
    if not verdict.redundancy_restored:
        yield "redundancy was not restored without help"


def _limits(verdict: Verdict, limits: Limits) -> Iterable[str]:
    ways = {"failed_reads": verdict.failures["read"], "failed_writes": verdict.failures["write"]}
    for name in ("write_gap", "read_gap", "failed_reads", "failed_writes"):
        limit, found = getattr(limits, name), getattr(verdict, name)
        if limit is not None and found > limit:
            unit = " s" if name.endswith("gap") else ""
            how = f" ({', '.join(ways[name][:SHOWN])})" if name in ways else ""
            yield f"{name.replace('_', ' ')} {found:.4g}{unit} is more than {limit:.4g}{unit}{how}"


def failures(requests: Sequence[Request], kind: Kind) -> tuple[str, ...]:
    """In how many ways requests of a kind failed: `3 x 503 no_primary`, the most frequent first."""
    ways = Counter(f"{row.status or ''} {row.error}".strip() for row in requests if row.kind == kind and not row.ok)
    return tuple(f"{count} x {way}" for way, count in ways.most_common())


def gap(requests: Sequence[Request], kind: str) -> float:
    """The longest time without a success: from one answer to the next, from the first request to the last.

    A client that never succeeded has a gap as long as its run; one that never asked has none.
    """
    rows = [row for row in requests if row.kind == kind]
    if not rows:
        return 0.0
    marks = [min(row.start for row in rows), *sorted(row.end for row in rows if row.ok), max(row.end for row in rows)]
    return max(later - earlier for earlier, later in pairwise(marks))


def two_writers(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Pairs of samples of one moment in which two servers took writes.

    A server outside any group takes writes when it is not super_read_only. A member of a group takes writes when it
    is a primary that sees a majority; a partitioned primary still sees one until the group's failure detection (5 s)
    speaks, although it can commit nothing, so of two primaries only those count whose transactions advanced.

    The servers are not asked at the same instant, and a planned hand-over takes less than the time between two
    samples. So the one that was asked first must still take writes when it is asked again, after the other was.
    """
    history = _History(samples)
    found, last = [], dict[str, Sample]()
    for sample in samples:
        last[sample.server] = sample
        if not _may_write(sample):
            continue
        for other in last.values():
            if other.server == sample.server or not _may_write(other) or sample.at - other.at > SAME_MOMENT:
                continue
            if history.still_writes(other, sample.at) and all(
                _outside(one) or history.advances(one) for one in (sample, other)
            ):
                found.append((other, sample))
    return found


def astray(samples: Sequence[Sample]) -> list[Sample]:
    """Samples of a server that takes writes outside its group while another is a member that sees a majority.

    Whatever it acknowledged the group would never have: it must be super_read_only, elected primary or not.
    """
    found, last = [], dict[str, Sample]()
    for sample in samples:
        last[sample.server] = sample
        if not (_may_write(sample) and _outside(sample)):
            continue
        others = (one for one in last.values() if one.server != sample.server and sample.at - one.at <= SAME_MOMENT)
        if any(one.answered and one.member_state == "ONLINE" and one.online * 2 > one.members for one in others):
            found.append(sample)
    return found


def _outside(sample: Sample) -> bool:
    return sample.member_state not in ("ONLINE", "RECOVERING", "UNREACHABLE")


def _may_write(sample: Sample) -> bool:
    if not sample.answered or sample.super_read_only:
        return False
    return _outside(sample) or (sample.member_role == "PRIMARY" and sample.online * 2 > sample.members)


class _History:
    """What each server had executed when, to be looked up by time."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._rows: dict[str, list[Sample]] = {}
        for sample in sorted(samples, key=lambda one: one.at):
            if sample.answered:
                self._rows.setdefault(sample.server, []).append(sample)

    def still_writes(self, sample: Sample, at: float) -> bool:
        """Whether the server took writes when it was next asked after `at`."""
        rows = self._rows[sample.server]
        later = bisect_right(rows, at, key=lambda row: row.at)
        return later < len(rows) and _may_write(rows[later])

    def advances(self, sample: Sample) -> bool:
        """Whether the server executed something new within PROGRESS seconds."""
        rows = self._rows.get(sample.server, [])
        for one in rows[bisect_right(rows, sample.at, key=lambda row: row.at) :]:
            if one.at > sample.at + PROGRESS:
                return False
            if one.gtid_executed != sample.gtid_executed:
                return True
        return False
