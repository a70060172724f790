"""Restores a backup and the binary logs after it into a throw-away mysqld, up to the exact transaction."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import backup_mysqld, backup_timeline, binlog
from .backup_mysqld import Report, Scratch
from .backup_plan import Plan, Target, moment_text
from .backup_store import BackupError, Store, Stored
from .binlog import Transaction
from .gtid import Gathering, GtidSet

# The clients' own limit is 64 MiB, a row event may have a gigabyte.
PACKET = "--max-allowed-packet=1073741824"


# In the scratch directory: what a timeline that goes on from the copy is to know of it (backup_timeline).
RECORD = "restored.json"

# Most are a few kilobytes: their time is that of asking.
FETCHED_AT_ONCE = 4
# Their names are arguments, of which there may be 2 MiB (execve(2), a quarter of the stack's limit).
FILES_AT_ONCE = 10_000

# How many bytes one compressed byte of binary log may need: unpacked, and applied to tables and redo log.
LOG_GROWTH = 20


@dataclass(frozen=True)
class Restored:
    """What a restore made. `last` is the latest transaction of the logs that were applied; None when none was."""

    backup: str
    gtids: GtidSet
    last: Transaction | None
    seconds: float
    size: int
    """Bytes of the data directory."""
    copied: int
    outside: GtidSet
    """What servers wrote outside their group, and the copy does not hold."""

    @property
    def text(self) -> str:
        """For a person."""
        held = f"last transaction {self.last.gtid} of {moment_text(self.last.at)}" if self.last else "the backup alone"
        left = f", without {self.outside}, which was written outside the group" if self.outside else ""
        return f"{held}, {self.size / 1e6:.1f} MB in {self.seconds:.1f} s, from backup {self.backup}{left}"


def restore(
    store: Store, target: Target, name: str, report: Report, complete_until: int = 0
) -> tuple[Scratch, Restored]:
    """Restore into /var/lib/tripod/backup/`name`; its mysqld runs. Nothing is left when it fails.

    `complete_until` as for a plan. Raises BackupError, also when the target cannot be reached: nothing has been
    downloaded then.
    """
    started = time.monotonic()
    report("choosing a backup and binary logs")
    legs = backup_timeline.way(store, target, complete_until)
    first = legs[0].plan.backup
    sent = sum(log.stored.size for leg in legs for log in leg.plan.logs)
    scratch = backup_mysqld.make(name, first.size + LOG_GROWTH * sent)
    try:
        report(f"downloading {first.id} ({first.stored.size / 1e6:.1f} MB)")
        scratch.data.mkdir(mode=0o750)
        _unpack(store, first.stored, ["tar", "--extract", "--file=-", f"--directory={scratch.data}"])
        files = [_logs(store, leg.plan, scratch.directory / "logs" / str(leg.timeline), report) for leg in legs]
        report("starting mysqld on the copy")
        scratch.start()
        last, outside = None, GtidSet()
        for leg, own in zip(legs, files, strict=True):
            last = _apply(leg.plan, own, scratch, leg.target, report) or last
            outside |= leg.plan.outside
        size = backup_mysqld.size(scratch.data)
        shutil.rmtree(scratch.directory / "logs")
        holds = scratch.executed()
        record = backup_timeline.record(legs, holds, last.at if last else 0)
        (scratch.directory / RECORD).write_text(json.dumps(record))
        seconds = time.monotonic() - started
        done = Restored(first.id, holds, last, seconds, size, first.copied, outside)
    except BaseException:
        scratch.remove()
        raise
    return scratch, done


def _unpack(store: Store, stored: Stored, then: Sequence[str], out: Path | None = None) -> None:
    """Download, decompress, and give to `then` or write to `out`; a part is used when its digest was found right."""
    with (
        subprocess.Popen(["zstd", "--quiet", "-d", "--stdout"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as swell,
        subprocess.Popen(list(then), stdin=swell.stdout, stdout=out.open("wb") if out else None) as taking,
    ):
        assert swell.stdin is not None and swell.stdout is not None  # noqa: S101, PT018  both are pipes
        swell.stdout.close()
        trouble: OSError | None = None
        try:
            for block in store.download(stored):
                if trouble is None:
                    try:
                        swell.stdin.write(block)
                    except OSError as error:  # what is wrong with the content, its digest says better
                        trouble = error
        finally:
            try:
                swell.stdin.close()
            except OSError as error:
                trouble = trouble or error
        codes = swell.wait(), taking.wait()
    if any(codes) or trouble:
        raise BackupError(f"{stored.key} cannot be unpacked (zstd and {then[0]} ended with {codes})")


def _logs(store: Store, chosen: Plan, directory: Path, report: Report) -> list[Path]:
    directory.mkdir(parents=True)

    def fetch(number: int) -> Path:
        path = directory / f"{number:06d}"
        _unpack(store, chosen.logs[number].stored, ["cat"], path)
        return path

    files: list[Path] = []
    pool = ThreadPoolExecutor(FETCHED_AT_ONCE)
    try:
        for path in pool.map(fetch, range(len(chosen.logs))):
            if len(files) % 25 == 0:
                report(f"downloading binary logs: {len(files)} of {len(chosen.logs)}")
            files.append(path)
    finally:
        # One that cannot be had ends the restore: those after it are not fetched first.
        pool.shutdown(cancel_futures=True)
    return files


def wanted(gtids: GtidSet, target: Target) -> Callable[[Transaction], bool]:
    """Tells of each transaction of a file that has `gtids`, asked in their order, whether the target includes it."""
    moment, exactly = target.moment, target.exactly
    if moment is not None:
        return lambda one: one.at <= moment
    if exactly is not None:
        return lambda one: GtidSet.parse(one.gtid) <= exactly
    lacking = target.gtid & gtids if target.gtid is not None else GtidSet()
    ends = bool(lacking)

    def until(one: Transaction) -> bool:
        nonlocal lacking
        if ends and not lacking:
            return False
        lacking -= GtidSet.parse(one.gtid)
        return True

    return until if ends else lambda _: True


def _apply(chosen: Plan, files: Sequence[Path], scratch: Scratch, target: Target, report: Report) -> Transaction | None:
    taken, last, outside = Gathering(), None, chosen.outside
    for path, shipped in zip(files, chosen.logs, strict=True):
        included = wanted(shipped.gtids, target)

        def take(one: Transaction, included: Callable[[Transaction], bool] = included) -> None:
            nonlocal last
            if included(one) and not (outside and GtidSet.parse(one.gtid) <= outside):
                taken.add(one.gtid)
                last = one if last is None or one.at > last.at else last

        binlog.scan(path, take)
    before = scratch.executed()
    if before != chosen.backup.gtids:
        raise BackupError(f"the copy holds {before}, but {chosen.backup.id} is said to hold {chosen.backup.gtids}")
    gtids = taken.whole() - before
    if gtids:
        report(f"applying {gtids.count} transactions of {len(files)} binary logs")
        _run(files, gtids, scratch)
    after = scratch.executed()
    if after != before | gtids:
        raise BackupError(f"the restored database holds {after}, but should hold {before | gtids}")
    return last


def _run(files: Sequence[Path], gtids: GtidSet, scratch: Scratch) -> None:
    for begin in range(0, len(files), FILES_AT_ONCE):
        _run_some(files[begin : begin + FILES_AT_ONCE], gtids, scratch)


def _run_some(files: Sequence[Path], gtids: GtidSet, scratch: Scratch) -> None:
    reading = ["mysqlbinlog", "--no-defaults", f"--include-gtids={gtids}", *map(str, files)]
    writing = ["mysql", "--no-defaults", f"--socket={scratch.socket}", "--user=root", "--binary-mode", PACKET]
    with (
        subprocess.Popen(reading, stdout=subprocess.PIPE) as source,
        subprocess.Popen(writing, stdin=source.stdout, stderr=subprocess.PIPE) as sink,
    ):
        assert source.stdout is not None and sink.stderr is not None  # noqa: S101, PT018  both are pipes
        source.stdout.close()
        complaint = sink.stderr.read().decode(errors="replace").strip()
        codes = source.wait(), sink.wait()
    if any(codes):
        raise BackupError(f"the binary logs cannot be applied (mysqlbinlog and mysql ended with {codes}): {complaint}")
