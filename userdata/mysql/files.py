"""Files, secrets and units of a database server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from topology import names, ports
from topology.model import Server, Topology
from topology.names import Account, Role
from userdata.bundle import File, Part, Secret, Unit
from userdata.templates import render

CONFIGURATION = "/etc/mysql/mysql.conf.d/zz-tripod.cnf"
INITIALISE = "/etc/mysql/tripod-initialise.sql"
DATABASE_FACTS = "/etc/tripod/database.json"
SECRETS = "/etc/tripod/secrets/mysql"
TLS_FOLDER = "/etc/mysql/tls/"
TLS = {
    "ca": f"{TLS_FOLDER}ca.pem",
    "certificate": f"{TLS_FOLDER}server-cert.pem",
    "key": f"{TLS_FOLDER}server-key.pem",
}
ROLE_CHECK_USER = "tripod-role-check"

# Seconds after which a member that sees no majority gives up its pending writes. The others need 5 s to
# notice the loss, so a shorter time would gain nothing; a longer one only makes clients wait.
MINORITY_SECONDS = 5

# A quarter of the smallest instance type that the presets use (4 GiB); a larger server has a larger one
# (host/database_memory.py).
BUFFER_POOL_MIB = 1024

# What one application server may have open on one MySQL server: the sample application's 8 connections that write and
# its 32 that read (app/entries.py, 32 threads), which all lead to one server when no other can be read from.
CONNECTIONS_EACH = 40
# (application servers up to which, max_connections): a new value restarts MySQL, so one more application server must
# seldom bring one. What is over is for MySQL's own: members that recover, read replicas, exporter, checks, backups,
# people. 3 * 40 = 120 leave 31, 12 * 40 = 480 leave 32, and 37 * 40 = 1480 leave 56. It ends there: mysqld asks for 5
# file descriptors a connection (MySQL manual, "open_files_limit"), 7680, and the package's mysql.service has 10000.
MAX_CONNECTIONS = ((3, 151), (12, 512), (37, 1536))

# How long a member may be away and still catch up from the others' binary logs instead of a full clone.
BINLOG_DAYS = 3

HERE = Path(__file__).parent


def files(topology: Topology, server: Server) -> Part:
    """What a database server needs for MySQL; an empty part on every other server."""
    if not server.holds_data:
        return Part()
    daemon = _daemon(server)
    values = _values(topology, server)

    def rendered(path: str, template: str) -> File:
        return File(path, render(HERE, template, **values))

    return Part(
        files=(
            rendered(CONFIGURATION, "mysqld.cnf.j2"),
            rendered(INITIALISE, "initialise.sql.j2"),
            rendered("/etc/systemd/system/mysql.service.d/tripod.conf", "mysql.service.d.conf.j2"),
            rendered(f"/etc/systemd/system/{daemon}", f"{daemon}.j2"),
            rendered("/etc/systemd/system/tripod-role-check.service", "tripod-role-check.service.j2"),
            rendered("/etc/sysusers.d/tripod-database.conf", "sysusers.conf.j2"),
            File(DATABASE_FACTS, json.dumps(facts(topology, server), indent=2, sort_keys=True) + "\n"),
        ),
        secrets=_secrets(topology.stack, server),
        units=_units(server, daemon),
        packages=("mysql-server",),
    )


def _daemon(server: Server) -> str:
    """The unit that makes MySQL a member of the group, or its follower."""
    return "tripod-replica.service" if server.has(Role.READ_REPLICA) else "tripod-group.service"


def facts(topology: Topology, server: Server) -> dict[str, Any]:
    """The content of database.json: what the host programs know of the group. Read by host.database."""
    found = {
        "stack": topology.stack,
        "region": topology.region,
        "server": server.name,
        "members": [
            {"name": member.name, "address": str(member.address), "server_id": member.server_id}
            for member in topology.databases
        ],
        "preferred_primary": topology.preferred_primary,
        "group_parameters": names.group_token_parameter(topology.stack).rpartition("/")[0],
        "mysql_port": ports.MYSQL,
        "group_port": ports.GROUP_REPLICATION,
        "role_check_port": ports.ROLE_CHECK,
        "ca_file": TLS["ca"],
        "secrets": SECRETS,
    }
    if server.has(Role.READ_REPLICA):
        own = {"name": server.name, "address": str(server.address), "server_id": server.server_id}
        found |= {"read_replica": own, "replica_lag_seconds": topology.replica_lag_seconds}
    return found


def _values(topology: Topology, server: Server) -> dict[str, Any]:
    return {
        "stack": topology.stack,
        "server": server.name,
        "server_id": server.server_id,
        "read_replica": server.has(Role.READ_REPLICA),
        "address": server.address,
        "network": topology.network_cidr,
        "port": ports.MYSQL,
        "group_port": ports.GROUP_REPLICATION,
        "role_check_port": ports.ROLE_CHECK,
        "role_check_user": ROLE_CHECK_USER,
        "tls": TLS,
        "binlog_days": BINLOG_DAYS,
        "minority_seconds": MINORITY_SECONDS,
        "buffer_pool_mib": BUFFER_POOL_MIB,
        "max_connections": max_connections(len(topology.apps)),
    }


def max_connections(apps: int) -> int:
    """What a MySQL server takes with so many application servers. Past the last step it is no more for more of them."""
    return next((number for most, number in MAX_CONNECTIONS if apps <= most), MAX_CONNECTIONS[-1][1])


def _secrets(stack: str, server: Server) -> tuple[Secret, ...]:
    tls = (
        Secret(TLS["ca"], names.ca_certificate_parameter(stack), "0644"),
        Secret(TLS["certificate"], names.server_certificate_parameter(stack, server.name), "0644"),
        Secret(TLS["key"], names.server_key_parameter(stack, server.name), "0440", "root:mysql"),
    )
    # Whoever may become primary creates all accounts; a read replica only logs in as one.
    accounts = (Account.REPLICATION,) if server.has(Role.READ_REPLICA) else tuple(Account)
    return tls + tuple(
        Secret(f"{SECRETS}/{account.value}", names.password_parameter(stack, account), "0400") for account in accounts
    )


def _units(server: Server, daemon: str) -> tuple[Unit, ...]:
    # ALTER INSTANCE RELOAD TLS is for clients' connections. Those of the group keep the certificates that they began
    # with, so a member is restarted; on a read replica tripod-replica has them read again.
    in_group = server.has(Role.DATABASE)
    return (
        Unit(
            "mysql.service",
            files=(CONFIGURATION, "/etc/systemd/system/mysql.service.d/", *([TLS_FOLDER] if in_group else [])),
            check=("mysqld", "--defaults-file={root}" + CONFIGURATION, "--user=mysql", "--validate-config"),
        ),
        Unit(
            "tripod-role-check.service",
            files=("/etc/systemd/system/tripod-role-check.service", "/usr/local/lib/tripod/host/"),
        ),
        Unit(
            daemon,
            files=(f"/etc/systemd/system/{daemon}", "/usr/local/lib/tripod/host/"),
        ),
    )
