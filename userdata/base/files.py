"""Files and units of every server, whatever its roles."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from topology import flows, names
from topology.model import Server, Topology
from topology.names import Role
from userdata import paths
from userdata.bundle import File, Part, Secret, Unit
from userdata.templates import render

HERE = Path(__file__).parent
PROGRAM_SOURCE = HERE.parent / "host"

SYSUSERS = "/etc/sysusers.d/tripod.conf"
JOURNAL = "/etc/systemd/journald.conf.d/50-tripod.conf"
SYSCTL = "/etc/sysctl.d/60-tripod.conf"
UPGRADE_TIMER = f"{paths.SYSTEMD}/apt-daily-upgrade.timer.d/tripod.conf"

# python3-boto3 and e2fsprogs are here although the first boot needs them before it can read this list.
PACKAGES = ("ca-certificates", "e2fsprogs", "python3-boto3", "python3-pymysql")

# Installed where the image has them (Ubuntu's cloud images do); the rehearsal's hosts have no mirror to upgrade from.
OPTIONAL_UPGRADES = "/etc/apt/apt.conf.d/52tripod-unattended-upgrades"


def files(topology: Topology, server: Server) -> Part:
    """The base part of `server`."""

    def file(path: str, template: str, mode: str = "0644", **values: Any) -> File:
        return File(path, render(HERE, template, **values), mode)

    volume = f"{paths.SYSTEMD}/tripod-volume.service"
    before = ["mysql.service"] if server.holds_data else []
    part_files = [
        File(paths.HOST_FACTS, json.dumps(facts(topology, server), indent=2, sort_keys=True) + "\n"),
        file(paths.COMMAND, "tripod.sh.j2", "0755", library=paths.LIBRARY),
        file("/etc/hosts", "hosts.j2", server=server, servers=topology.servers),
        file(SYSUSERS, "sysusers.conf.j2"),
        file(JOURNAL, "journald.conf.j2"),
        file(SYSCTL, "sysctl.conf.j2"),
        file(OPTIONAL_UPGRADES, "unattended-upgrades.j2"),
        file(UPGRADE_TIMER, "apt-daily-upgrade.timer.j2", hour=upgrade_hour(topology, server)),
        file(volume, "tripod-volume.service.j2", library=paths.LIBRARY, before=before),
        *programs(),
    ]
    if server.holds_data:
        part_files.append(file(f"{paths.SYSTEMD}/mysql.service.d/volume.conf", "mysql-volume.conf.j2"))
    return Part(
        files=tuple(part_files),
        secrets=(Secret(paths.CA_FILE, names.ca_certificate_parameter(topology.stack), "0644"),),
        units=(
            Unit("systemd-journald.service", files=(JOURNAL,)),
            Unit("systemd-sysctl.service", files=(SYSCTL,)),
            Unit("tripod-volume.service"),
        ),
        packages=PACKAGES,
    )


def facts(topology: Topology, server: Server) -> dict[str, Any]:
    """The content of host.json: what the host programs know of this server and of the database servers."""
    application = topology.application
    return {
        "stack": topology.stack,
        "region": topology.region,
        "server": server.name,
        "address": str(server.address),
        "roles": [role.value for role in server.roles],
        "server_id": server.server_id,
        "preferred_primary": topology.preferred_primary,
        "majority": topology.majority,
        "peers": [
            {
                "name": peer.name,
                "address": str(peer.address),
                "server_id": peer.server_id,
                "roles": [role.value for role in peer.roles],
            }
            for peer in (*topology.databases, *topology.read_replicas)
            if peer.name != server.name
        ],
        "application": {
            "port": flows.app_port(topology),
            "health": application.health if application else "/healthz",
        }
        if server.has(Role.APP)
        else None,
        "parameters": {
            "initialised": names.group_token_parameter(topology.stack),
            "state": names.server_state_parameter(topology.stack, server.name),
        },
    }


@cache
def programs() -> tuple[File, ...]:
    """The host programs, the same on every server."""
    sources = sorted(PROGRAM_SOURCE.glob("*.py"))
    return tuple(File(f"{paths.PROGRAMS}/{s.name}", s.read_text(), shared=True) for s in sources)


def upgrade_hour(topology: Topology, server: Server) -> int:
    """Hour (UTC) of this server's unattended upgrades: neighbours in the list never upgrade in the same hour.

    An upgrade may restart mysqld or HAProxy; one server at a time is what the stack survives.
    """
    return [other.name for other in topology.servers].index(server.name) % 24
