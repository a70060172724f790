"""Files and unit of a server that ships its logs to CloudWatch Logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topology import names
from topology.model import Server, Topology
from topology.names import Log
from userdata import paths
from userdata.bundle import File, Part, Unit
from userdata.templates import render

HERE = Path(__file__).parent

USER = "tripod-logs"
STATE_NAME = "tripod-logs"
STATE = f"/var/lib/{STATE_NAME}"
# Below a folder that Ubuntu's AppArmor profile lets rsyslogd read; its own rsyslog.conf includes no subfolders.
CONFIGURATION = "/etc/rsyslog.d/tripod/cloudwatch.conf"
SHIPPER = f"{paths.LIBRARY}/ship-logs"
PROFILE = "/etc/apparmor.d/usr.sbin.rsyslogd"
APPARMOR = "/etc/apparmor.d/rsyslog.d/tripod"
SERVICE = "tripod-logs.service"

PROGRAMS = ("errors", "identity", "log_cursor", "log_batch", "log_delivery", "log_shipper")
"""The host programs that run in the service."""

# Entries of the journal that rsyslogd has read and not delivered, at most. The rest waits in the journal, which keeps
# 1 GiB (base/journald.conf).
IN_MEMORY = 2000
# Entries that are read again after an end that lost them, with what the journal's state file may be ahead.
AGAIN = IN_MEMORY + 1000

# rsyslogd reads the staged file, which its profile on Ubuntu would forbid.
_UNCONFINED = (
    "if test -d /sys/kernel/security/apparmor && command -v aa-exec >/dev/null; "
    'then exec aa-exec -p unconfined -- "$@"; else exec "$@"; fi'
)


@dataclass(frozen=True)
class Source:
    """Where a log group's lines come from. `condition` is RainerScript over the fields of a journal entry."""

    group: str
    condition: str


def sources(topology: Topology, server: Server) -> tuple[Source, ...]:
    """What `server` ships. The first condition that holds for an entry is the one that counts."""
    conditions = {
        Log.HAPROXY: _unit("haproxy.service"),
        Log.MYSQL: _unit("mysql.service"),
        Log.APPLICATION: _unit("tripod-app.service"),
        # Whoever may log can give any identifier, but not the user.
        Log.AUDIT: '$!SYSLOG_IDENTIFIER == "tripod-apply" and $!_UID == "0"',
        # Not what ships: what it says of an outage would be the next thing to ship.
        Log.TRIPOD: _own("$!_SYSTEMD_UNIT") + ' or ($!_PID == "1" and ' + _own("$!UNIT") + ")",
    }
    return tuple(Source(names.log_group(topology.stack, log), conditions[log]) for log in server.logs)


def _unit(name: str) -> str:
    """What a service logs, and what systemd says about it: that it was killed, say."""
    return f'$!_SYSTEMD_UNIT == "{name}" or ($!_PID == "1" and $!UNIT == "{name}")'


def _own(field: str) -> str:
    return f'({field} startswith "tripod-" and {field} != "{SERVICE}")'


def files(topology: Topology, server: Server) -> Part:
    """The logs part of `server`."""
    values = {
        "sources": sources(topology, server),
        "user": USER,
        "state": STATE,
        "state_name": STATE_NAME,
        "shipper": SHIPPER,
        "library": paths.LIBRARY,
        "configuration": CONFIGURATION,
        "profile": PROFILE,
        "in_memory": IN_MEMORY,
        "again": AGAIN,
    }

    def rendered(path: str, template: str, mode: str = "0644") -> File:
        return File(path, render(HERE, template, **values), mode)

    return Part(
        files=(
            rendered(CONFIGURATION, "cloudwatch.conf.j2"),
            rendered(SHIPPER, "ship-logs.j2", "0755"),
            rendered(APPARMOR, "apparmor.j2"),
            rendered(f"/etc/sysusers.d/{USER}.conf", "sysusers.conf.j2"),
            rendered(f"{paths.SYSTEMD}/{SERVICE}", f"{SERVICE}.j2"),
        ),
        units=(
            Unit(
                SERVICE,
                files=(
                    CONFIGURATION,
                    SHIPPER,
                    APPARMOR,
                    *(f"{paths.PROGRAMS}/{name}.py" for name in PROGRAMS),
                ),
                check=("sh", "-c", _UNCONFINED, "check", "rsyslogd", "-N1", "-f", "{root}" + CONFIGURATION),
            ),
        ),
        packages=("rsyslog",),
    )
