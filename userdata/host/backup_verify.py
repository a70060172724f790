"""Whether everything is in the bucket that a restore may need: no gap, and every object as it was sent."""

from __future__ import annotations

from itertools import chain
from typing import Any

from . import backup, backup_timeline
from .backup_job import Job
from .backup_plan import Target
from .backup_store import BackupError, Store, Stored
from .binlog_index import BinlogIndex


def verify(store: Store, job: Job) -> dict[str, Any]:
    """Look for gaps; read every object of the timeline, and of others on the way to its latest transaction.

    BackupError naming all faults.
    """
    timeline, faults = store.timeline(), []
    before: list[Stored] = []
    job.report("looking for gaps")
    try:
        others = [leg.plan for leg in backup_timeline.way(store, Target()) if leg.timeline != timeline]
        before = [*(one.backup.stored for one in others[:1]), *(log.stored for one in others for log in one.logs)]
    except BackupError as error:
        faults.append(str(error))
    backups, index = backup.find(store, timeline), BinlogIndex(store, timeline)
    total, number, size = len(backups) + index.count + len(before), 0, 0
    for stored in chain((one.stored for one in backups), (log.stored for log in index.each()), before):
        number, size = number + 1, size + stored.size
        job.report(f"reading {number} of {total}: {stored.key}")
        try:
            for _ in store.download(stored):
                pass
        except BackupError as error:
            faults.append(str(error))
    if faults:
        raise BackupError("; ".join(faults))
    return {"objects": number, "bytes": size}
