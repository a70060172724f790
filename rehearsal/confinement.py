"""What this machine's AppArmor does to programs of the rehearsal's hosts.

A profile goes by the path of a program as the program's own namespace sees it, and by nothing else (apparmor.d(5)), so
one that is loaded here holds in a host as well: without the additions that a stack's bundle makes to it on a server.
"""

from __future__ import annotations

import re
from pathlib import Path

PROFILES = Path("/sys/kernel/security/apparmor/profiles")
"""What is loaded, a profile a line: `NAME (MODE)`. Root reads it; it is not there without AppArmor."""

PROGRAMS = frozenset({"haproxy", "keepalived", "mysqld", "prometheus", "rsyslogd"})
_LINE = re.compile(r"(?P<name>\S+) \((?:enforce|kill)\)")


def confined(profiles: Path = PROFILES) -> tuple[str, ...]:
    """Programs of hosts that a profile of this machine restricts, by name."""
    try:
        lines = profiles.read_text().splitlines()
    except OSError:  # no AppArmor, or not for this user
        return ()
    names = (found["name"].partition("//")[0] for found in map(_LINE.fullmatch, lines) if found)
    return tuple(sorted(PROGRAMS & {name.rpartition("/")[2] for name in names}))


def warning(programs: tuple[str, ...]) -> str:
    """What to know of it, and how to lift it until the machine starts again."""
    files = " ".join(f"/etc/apparmor.d/usr.sbin.{program}" for program in programs)
    return (
        f"AppArmor of this machine confines {' and '.join(programs)} in the hosts, too; what is not allowed here fails "
        f"there. To lift it until this machine starts again: apparmor_parser --remove {files}"
    )
