"""Members that the group lost: its others forget their connections to them, so that one that comes back is in at once.

Why
---
The group's communication (XCom) keeps its connection to a member for as long as one of the last configurations that it
remembers has that member, and tries it at ever longer intervals while nobody answers. A member that comes back finds
the old interval: the others connect only after seconds, and look for its answer after more seconds. Meanwhile it is in
the configuration and silent, and each commit of the group waits for it in vain. Measured on three hosts after mysqld of
a primary was killed: 6 to 15 seconds from START GROUP_REPLICATION to the new view, and 0.245 s instead of 0.01 to
0.03 s for a commit; with what this module does, 2 to 3 seconds.

A configuration is forgotten after a few newer ones (xcom/site_def.cc, garbage_collect_site_defs, keeps at least four).
The primary makes these: it sets the group's write concurrency to what it is, which changes nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pymysql

from .database import Connection
from .database_state import View

# Six were enough nine times in ten: one that follows too soon after another counts with it.
CONFIGURATIONS = 8
# Seconds. A configuration begins some messages after it was agreed on; nothing shows when.
PAUSE = 0.1

SETTLED = 2.5
"""Seconds that a member which the group has just lost gives the primary for this before it joins: a look once a second
by either side, and the configurations."""

log = logging.getLogger("tripod-group")


class LostMembers:
    """What one member remembers of those that its group lost."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def saw(self, before: View | None, after: View) -> None:
        """A new view of the group replaced another."""
        if before is None or before.age[0] != after.age[0]:  # another group: its members know nobody yet
            self._names.clear()
            return
        self._names |= set(before.members)
        self._names -= set(after.members)

    def forget(self, connection: Connection, pause: Callable[[float], None] = time.sleep) -> None:
        """On the primary: have the group forget them, once. When it refuses, they come back slower, and that is all."""
        if not self._names:
            return
        names, self._names = ", ".join(sorted(self._names)), set()
        try:
            width = connection.row("SELECT group_replication_get_write_concurrency() AS width")["width"]
            for _ in range(CONFIGURATIONS):
                connection.run("SELECT group_replication_set_write_concurrency(%s)", (int(width),))
                pause(PAUSE)
        except pymysql.MySQLError as error:
            log.info("the group keeps its connections to %s: %s", names, error)
        else:
            log.info("the group forgets its connections to %s", names)
