"""Files and units of a database server that copy it away: nightly backups, binary logs all the time, weekly drills."""

from __future__ import annotations

from pathlib import Path

from topology.model import Server, Topology
from topology.names import Role
from userdata import paths
from userdata.bundle import File, Part, Unit
from userdata.templates import render

HERE = Path(__file__).parent

APPARMOR = "/etc/apparmor.d/local/usr.sbin.mysqld"


def files(topology: Topology, server: Server) -> Part:
    """The backup part of a database server; an empty part on every other server."""
    if not server.has(Role.DATABASE):
        return Part()

    def unit(name: str) -> File:
        text = render(HERE, f"{name}.j2", library=paths.LIBRARY, backup=topology.backup)
        return File(f"{paths.SYSTEMD}/{name}", text)

    return Part(
        files=(
            File(APPARMOR, render(HERE, "apparmor.j2")),
            unit("tripod-backup.service"),
            unit("tripod-backup.timer"),
            unit("tripod-drill.service"),
            unit("tripod-drill.timer"),
            unit("tripod-binlog.service"),
        ),
        units=(
            Unit("tripod-backup.timer", files=(f"{paths.SYSTEMD}/tripod-backup.timer",)),
            Unit("tripod-drill.timer", files=(f"{paths.SYSTEMD}/tripod-drill.timer",)),
            Unit("tripod-binlog.service", files=(f"{paths.SYSTEMD}/tripod-binlog.service", f"{paths.PROGRAMS}/")),
        ),
        packages=("zstd",),
    )
