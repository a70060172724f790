"""How much memory MySQL's buffer pool gets: run as root before every start of mysql.service.

A quarter of what the server has, and never less than what its configuration says: the rest is for the application
(40 %), connections, HAProxy and monitoring. So a larger instance type is one for the database, too, from the next start
on. In a container the memory is not the server's own, and the configuration stands.
"""

from __future__ import annotations

import sys
from pathlib import Path

# In mysqld's runtime directory, which systemd makes before this runs: an EnvironmentFile of the unit.
FILE = Path("/run/mysqld/tripod.env")
MEMORY = Path("/proc/meminfo")
# systemd writes it on every container (systemd's CONTAINER_INTERFACE).
CONTAINER = Path("/run/systemd/container")

SHARE = 4
# mysqld rounds up to a multiple of 128 MiB for each of its instances.
STEP_MIB = 512


def pool_mib(meminfo: str, least: int) -> int:
    """MiB for the buffer pool of a server with this /proc/meminfo. ValueError when that names no MemTotal."""
    found = [line.split() for line in meminfo.splitlines() if line.startswith("MemTotal:")]
    if not found:
        raise ValueError("MemTotal is not in /proc/meminfo")
    quarter = int(found[0][1]) / 1024 / SHARE
    return max(least, round(quarter / STEP_MIB) * STEP_MIB)


def main(arguments: list[str]) -> int:
    """`arguments`: the least size in MiB. Exit code 0 always: without the file the configuration stands."""
    (least,) = arguments
    try:
        size = int(least) if CONTAINER.exists() else pool_mib(MEMORY.read_text(), int(least))
        FILE.write_text(f"TRIPOD_BUFFER_POOL=--innodb-buffer-pool-size={size}M\n")
    except (OSError, ValueError) as error:
        print(f"tripod: the buffer pool has the configured size: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
