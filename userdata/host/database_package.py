"""Keeps the distribution's package of MySQL away from the stack's data.

When mysql-server is configured (at its installation and at every upgrade), its postinst starts a mysqld of its own on
/var/lib/mysql: with --initialize-insecure where that is empty, else with an init file that alters an account. With the
distribution's configuration the latter leaves a transaction without a GTID in the group's binary log. A mysqld that
finds `validate_config` in its option files judges them and ends with 0, whatever else it was told; so this stands there
before the package comes. The bundle's configuration, which says it too, takes its place (docs/adr/0015).
"""

from __future__ import annotations

from .swap import write
from .system import System

PACKAGE = "mysql-server"
CONFIGURATION = "/etc/mysql/mysql.conf.d/zz-tripod.cnf"
GUARD = (
    "# Tripod, until its configuration is in place: no mysqld may run on the data.\n[mysqld]\nvalidate_config = ON\n"
)


def guard(system: System) -> None:
    """Put the option there, unless a configuration of the stack is there already."""
    path = system.path(CONFIGURATION)
    if not path.exists():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write(path, GUARD)
