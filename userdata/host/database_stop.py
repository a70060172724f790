"""Leave the group before mysqld is told to end: run as root by every stop of mysql.service (ExecStop).

mysqld by itself leaves only after it has stopped listening, and commits that wait for the group then hold the stop
up for minutes, while the others have elected a primary already. So: no new writes, running commits end, leave, and
only then the signal. tripod-group would bring the server back at once; the marker, which lies in the unit's runtime
directory and vanishes with it, tells it not to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pymysql

from .database import Connection

MARKER = Path("/run/mysqld/tripod-stopping")

# Running transactions of the application are given this long to commit; afterwards they fail, as in a failover.
COMMIT_SECONDS = 5
LEAVE_SECONDS = 60.0


def leave() -> None:
    """Fence and leave. Raises pymysql.MySQLError or OSError when mysqld cannot be asked."""
    with Connection(seconds=LEAVE_SECONDS) as connection:
        connection.run(f"SET SESSION lock_wait_timeout = {COMMIT_SECONDS}")
        try:
            connection.run("SET GLOBAL super_read_only = ON")
        except pymysql.OperationalError as error:
            print(f"tripod: some transaction does not end: {error}", file=sys.stderr)
        # Succeeds, too, when it is in no group.
        connection.run("STOP GROUP_REPLICATION")


def main() -> int:
    """Exit code 0 always: whatever fails here, the stop goes on."""
    try:
        MARKER.touch()
        leave()
    except (pymysql.MySQLError, OSError) as error:
        print(f"tripod: could not leave the group first: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
