"""Carries out what replica_decision decides: the statements of a read replica.

Sources: MySQL 8.4 manual, "Asynchronous Connection Failover for Sources" and "Cloning Remote Data". mysqld hides the
password of both statements in its logs and its process list. It keeps the channel's in mysql.slave_master_info, on
the encrypted data volume: managed source failover cannot take it from START REPLICA.
"""

from __future__ import annotations

import pymysql
from pymysql.constants import CR

from .database import Connection, Database
from .replica_decision import Action, Kind
from .replica_state import CHANNEL, HEARTBEAT

LONG = 60.0
# A copy of a large database takes hours.
CLONE_SECONDS = 12 * 3600.0

# The primary before the others, so that what is read is as fresh as can be.
WEIGHT_PRIMARY = 80
WEIGHT_SECONDARY = 60

# mysqld ends after a clone, to be started again by systemd: ER_RESTART_SERVER_FAILED, or the connection just ends.
_RESTARTED = (3707, CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR)


def carry_out(action: Action, database: Database) -> None:
    """Do one step on the local mysqld. Raises pymysql.MySQLError or OSError when it fails."""
    with Connection(seconds=CLONE_SECONDS if action.kind is Kind.CLONE else LONG) as connection:
        if action.kind is Kind.FENCE:
            connection.run("SET GLOBAL super_read_only = ON")
        elif action.kind is Kind.REFUSE:
            _stop(connection)
        elif action.kind is Kind.CLONE:
            _stop(connection)
            _clone(connection, database, action.member)
        elif action.kind is Kind.FOLLOW:
            _stop(connection)
            _follow(connection, database, action)


def _stop(connection: Connection) -> None:
    if connection.rows(
        "SELECT 1 FROM performance_schema.replication_connection_configuration WHERE channel_name = %s", (CHANNEL,)
    ):
        connection.run(f"STOP REPLICA FOR CHANNEL '{CHANNEL}'")


def _clone(connection: Connection, database: Database, donor: str) -> None:
    address = next(member.address for member in database.members if member.name == donor)
    for name, value in (
        ("clone_valid_donor_list", f"{address}:{database.mysql_port}"),
        ("clone_ssl_ca", database.ca_file),
    ):
        connection.run(f"SET GLOBAL {name} = %s", (value,))
    try:
        connection.run(
            f"CLONE INSTANCE FROM 'replication'@'{address}':{database.mysql_port} IDENTIFIED BY %s REQUIRE SSL",
            (database.password("replication"),),
        )
    except pymysql.MySQLError as error:
        if error.args[0] not in _RESTARTED:
            raise


def _follow(connection: Connection, database: Database, action: Action) -> None:
    """The channel with its list of sources, which MySQL then keeps like the group's membership."""
    for row in connection.rows(
        "SELECT managed_name FROM performance_schema.replication_asynchronous_connection_failover_managed"
        " WHERE channel_name = %s",
        (CHANNEL,),
    ):
        connection.rows(
            "SELECT asynchronous_connection_failover_delete_managed(%s, %s)", (CHANNEL, row["managed_name"])
        )
    # By name: members of the list appear under their report_host, which /etc/hosts and their certificates know.
    connection.run(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = 'replication',"
        " SOURCE_PASSWORD = %s, SOURCE_AUTO_POSITION = 1, SOURCE_CONNECTION_AUTO_FAILOVER = 1,"
        " SOURCE_SSL = 1, SOURCE_SSL_CA = %s, SOURCE_SSL_VERIFY_SERVER_CERT = 1,"
        f" SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 3, SOURCE_HEARTBEAT_PERIOD = {HEARTBEAT}"
        f" FOR CHANNEL '{CHANNEL}'",
        (action.member, database.mysql_port, database.password("replication"), database.ca_file),
    )
    connection.rows(
        "SELECT asynchronous_connection_failover_add_managed(%s, 'GroupReplication', %s, %s, %s, '', %s, %s)",
        (CHANNEL, action.group_name, action.member, database.mysql_port, WEIGHT_PRIMARY, WEIGHT_SECONDARY),
    )
    connection.run(f"START REPLICA FOR CHANNEL '{CHANNEL}'")
