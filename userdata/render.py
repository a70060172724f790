"""From a topology to text: the bundle and the user data of each server.

Pure: the same topology always gives the same bytes, and nothing is read but this repository's own files.
"""

from __future__ import annotations

from collections.abc import Callable

from topology.model import Server, Topology
from userdata.app.files import files as app
from userdata.backup.files import files as backup
from userdata.base.files import files as base
from userdata.boot.files import user_data
from userdata.bundle import Bundle, Part
from userdata.haproxy.files import files as haproxy
from userdata.keepalived.files import files as keepalived
from userdata.logs.files import files as logs
from userdata.mysql.files import files as mysql
from userdata.prometheus.files import files as prometheus

__all__ = ["PARTS", "bundle", "user_data"]

PARTS: tuple[Callable[[Topology, Server], Part], ...] = (
    *(base, mysql, backup, haproxy, app, keepalived, prometheus, logs),
)
"""The service folders, in the order in which their units start: a way to the database before its users."""

# Units that a package or the image may start although this server has no use for them. Whatever no part asks for
# is stopped: nothing listens that the table of flows does not know, and there is no SSH (Session Manager is used).
OWNED_UNITS = (
    "haproxy.service",
    "keepalived.service",
    "mysql.service",
    "prometheus.service",
    "prometheus-alertmanager.service",
    "prometheus-mysqld-exporter.service",
    "prometheus-node-exporter.service",
    "ssh.service",
    "ssh.socket",
    "tripod-app.service",
    "tripod-backup.timer",
    "tripod-binlog.service",
    "tripod-drill.timer",
    "tripod-floating-address.service",
    "tripod-group.service",
    "tripod-heartbeat.timer",
    "tripod-logs.service",
    "tripod-metrics.service",
    "tripod-replica.service",
    "tripod-role-check.service",
)


def bundle(topology: Topology, server: Server) -> Bundle:
    """Everything `server` must have. Raises userdata.bundle.BundleError when two parts contradict each other."""
    return Bundle.of(topology.stack, server.name, [part(topology, server) for part in PARTS], OWNED_UNITS)
