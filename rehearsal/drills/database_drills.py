"""Drills of the database: the primary or replicas killed, lost, cut off, slow, handed over, re-created."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.drills import slow_disk
from rehearsal.drills.drill import Drill, single_load_balancer
from rehearsal.drills.judge import Limits
from rehearsal.drills.scene import BACK, Scene
from rehearsal.shell import RehearsalError

PARTITION = 43.0
JOINING = 3.0
"""Seconds into a join: the members have agreed to it, and the view that it makes is still some seconds away."""
SLOW_SECONDS, SLOW_WRITES = 20.0, 40
COLD = 180.0
"""Seconds within which a stack answers after all its servers were switched on."""


def _apart(scene: Scene) -> Callable[[str], bool]:
    """Servers that are no load balancer; where all are, those that do not hold the site's address."""
    balancers = {server.name for server in scene.stack.topology.load_balancers}
    busy = balancers if set(scene.stack.databases) - balancers else {scene.holder()}
    return lambda server: server not in busy


def primary_killed(scene: Scene) -> None:
    """kill -9 of mysqld; systemd starts it again."""
    _kill_primary(scene)
    scene.writes_again()
    scene.observe(3)


def _kill_primary(scene: Scene) -> str:
    primary = scene.stack.primary()
    scene.broke(f"mysqld of {primary} (primary) killed")
    scene.stack.exec(primary, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=main", "mysql.service")
    # What was on its way may still be acknowledged in the first moments.
    scene.observe(1)
    scene.broken_at += 1
    return primary


def next_primary_killed(scene: Scene) -> None:
    """kill -9 of mysqld, and of the next primary's while the first joins the group again, without what it missed.

    Where that was the group's majority, Group Replication leaves the one that joins alone in a group of its own.
    """
    first = _kill_primary(scene)
    scene.writes_again()
    scene.require(f"{first} joins again", lambda: _joins(scene, first), BACK)
    scene.observe(JOINING)
    _kill_primary(scene)
    scene.writes_again(COLD)
    scene.observe(3)


def _joins(scene: Scene, server: str) -> bool:
    starts = "SELECT 1 FROM performance_schema.processlist WHERE info LIKE 'START GROUP_REPLICATION%'"
    try:
        return bool(scene.stack.query(server, starts))
    except RehearsalError:
        return False  # its mysqld does not answer yet


def host_lost(scene: Scene) -> None:
    """Power cut of the primary's host, which does not hold the site's address."""
    primary = scene.lead_from(_apart(scene))
    with scene.without_power(primary):
        scene.observe(1)
        scene.broken_at += 1
        scene.writes_again()
        scene.observe(3)


def host_lost_with_load_balancer(scene: Scene) -> None:
    """Power cut of one host that holds the address and is primary, too: both have to move."""
    holder = scene.holder()
    primary = scene.lead_from(lambda server: server == holder)
    with scene.without_power(primary):
        scene.observe(1)
        scene.broken_at += 1
        if not single_load_balancer(scene.stack.topology):
            scene.writes_again()
        scene.observe(8)


def primary_partitioned(scene: Scene) -> None:
    """The primary's host and the others lose each other, both ways."""
    primary = scene.lead_from(_apart(scene))
    with scene.fault(f"{primary} (primary) cut off", "cut", primary):
        scene.observe(1)
        scene.broken_at += 1
        scene.writes_again()
        scene.observe(max(0.0, PARTITION - (scene.watch.now - scene.broken_at)))


def both_replicas_lost(scene: Scene) -> None:
    """Both replicas without power: a minority is left, which must take no write until one is back."""
    with scene.without_power(*scene.stack.replicas()):
        scene.observe(8)
    scene.broken_at = scene.watch.now
    scene.writes_again(COLD)


def all_cold(scene: Scene) -> None:
    """All servers without power at the same moment, and on again."""
    with scene.without_power(*(server.name for server in scene.stack.topology.servers)):
        scene.observe(2)
    scene.broken_at = scene.watch.now
    scene.writes_again(COLD)
    scene.observe(2)


def switchover(scene: Scene) -> None:
    """The operators' command hands over to a replica under load."""
    target = scene.stack.replicas()[0]
    scene.broke(f"switchover to {target}")
    scene.mark(scene.switchover(target))
    scene.writes_again()
    scene.observe(2)


def server_recreated(scene: Scene) -> None:
    """A new machine with an empty data volume takes a replica's place."""
    holder = scene.holder()
    victim = sorted(scene.stack.replicas(), key=lambda server: server == holder)[0]
    scene.broke(f"{victim} re-created, empty")
    scene.stack.daemon.ask("recreate", server=victim, empty=True, timeout=120)
    scene.stack.wait_whole(240)
    scene.mark(f"{victim} has all data")


def disk_slow(scene: Scene) -> None:
    """The primary's data volume writes forty times a second at most."""
    primary = scene.stack.primary()
    with slow_disk.slow_disk(scene.stack, primary, SLOW_WRITES):
        scene.broke(f"disk of {primary} (primary): {SLOW_WRITES} writes a second")
        scene.observe(SLOW_SECONDS)
    scene.mark("disk at full speed")
    scene.broken_at = scene.watch.now
    scene.writes_again()
    scene.observe(2)


DRILLS = (
    Drill(
        "primary-killed",
        "mysqld of the primary is killed; a replica takes over while reads go on.",
        primary_killed,
        Limits(write_gap=10.0, read_gap=2.0, failed_reads=0),
        controls=("read-only-at-boot",),
    ),
    Drill(
        "next-primary-killed",
        "mysqld of the primary is killed, and of the next one while the first joins the group again.",
        next_primary_killed,
        Limits(write_gap=COLD),
    ),
    Drill(
        "host-lost",
        "The primary's host loses power; the site's address is at another one.",
        host_lost,
        Limits(write_gap=10.0, read_gap=5.0),
        controls=("prompt-expulsion",),
    ),
    Drill(
        "host-lost-with-load-balancer",
        "One host loses power that is primary and holds the site's address: both have to move.",
        host_lost_with_load_balancer,
        Limits(write_gap=12.0, read_gap=6.0),
        weakness=single_load_balancer,
        controls=("vrrp",),
    ),
    Drill(
        "primary-partitioned",
        f"The primary's host and all others lose each other for {PARTITION:.0f} s.",
        primary_partitioned,
        Limits(write_gap=10.0, read_gap=5.0),
        controls=("prompt-expulsion",),
    ),
    Drill(
        "disk-slow",
        f"The primary's data volume writes at most {SLOW_WRITES} times a second for {SLOW_SECONDS:.0f} s.",
        disk_slow,
        # A slow disk is no lost one: nobody else is elected, and writes may wait for as long as it is slow.
        Limits(write_gap=SLOW_SECONDS + 5.0, read_gap=2.0, failed_reads=0),
        obstacle=slow_disk.cannot,
    ),
    Drill(
        "both-replicas-lost",
        "Both replicas lose power and come back: without a majority nothing is acknowledged.",
        both_replicas_lost,
        Limits(write_gap=120.0),
    ),
    Drill(
        "switchover",
        "Planned: the operators' command makes a replica the primary, under load.",
        switchover,
        Limits(write_gap=1.0, read_gap=1.0, failed_reads=0, failed_writes=0),
    ),
    Drill(
        "server-recreated",
        "A replica's machine is replaced by a new one with an empty data volume.",
        server_recreated,
        Limits(write_gap=10.0, read_gap=5.0),
    ),
    Drill(
        "all-cold",
        "All servers lose power at the same moment and are switched on again.",
        all_cold,
        Limits(write_gap=COLD),
        controls=("durable-commits",),
    ),
)
