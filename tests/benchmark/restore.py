"""How long it takes to plan a restore from an hour's and from a day's binary logs of three members."""

from __future__ import annotations

import random
import statistics
import sys
import time

from userdata.host.backup_plan import Backup, Target, plan
from userdata.host.backup_store import Stored
from userdata.host.binlog import ShippedLog
from userdata.host.gtid import GtidSet

GROUP = "6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11"
# Logs of each member: one each 20 s (binlog_ship) for an hour, for a day.
LOGS = (180, 4320)
# How much longer a log may take among many than among few.
GROWTH = 2.0
ROUNDS = 3


def gtids(first: int, last: int) -> GtidSet:
    """Some transactions of the group."""
    return GtidSet.parse(f"{GROUP}:{first}-{last}")


def logs(count: int) -> list[ShippedLog]:
    """`count` logs of about a hundred transactions, of each of three members: they end at different ones."""
    found, chance = [], random.Random(1)
    for server in (1, 2, 3):
        uuid, held = f"0000000{server}-6f0e-4f57-9d1b-7a7b5f6d3c11", 1
        for number in range(count):
            more = chance.randint(80, 120)
            key = Stored(f"{server}/{number}", 1, "", ())
            own = gtids(held + 1, held + more)
            times = held + 1, held + more
            found.append(ShippedLog(f"server-{server}", uuid, f"binlog.{number:06d}", gtids(1, held), own, *times, key))
            held += more
    return found


def seconds(shipped: list[ShippedLog]) -> float:
    """For one plan, the median of some."""
    backup = Backup("backup", "server-2", "8.4.0", gtids(1, 1), 0, Stored("backup", 1, "", ()), 1)
    present = {log.stored.key for log in shipped}
    taken = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        plan([backup], shipped, present, Target())
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> bool:
    """Print both sizes; whether a log takes no longer among many."""
    sys.stdout.write("binary logs   plan of a restore   per log\n")
    each = []
    for count in LOGS:
        shipped = logs(count)
        took = seconds(shipped)
        each.append(took / len(shipped))
        sys.stdout.write(f"{len(shipped):11}  {took:17.2f}s  {1e6 * each[-1]:5.0f} us\n")
    growth = each[-1] / each[0]
    sys.stdout.write(f"A log takes {growth:.2f} times as long among many (limit {GROWTH:.2f}).\n")
    return growth <= GROWTH
