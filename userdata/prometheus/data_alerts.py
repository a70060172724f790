"""Alerts of the database, its copies and its backups."""

from __future__ import annotations

from topology.model import Topology
from userdata.prometheus.alert import Alert

_HOUR = 3600
BACKUP_HOURS = 26
"""A nightly backup, and two hours for it to run late."""
BINLOG_SECONDS = 180
"""Three times what shipping may be behind."""
RESTORE_DAYS = 8
"""A weekly restore drill, and a day."""


def _replicas(topology: Topology) -> bool:
    return bool(topology.read_replicas)


DATA_ALERTS = (
    Alert(
        "NoPrimary",
        "critical",
        "(sum(tripod_database_writer) or vector(0)) < 1",
        30,
        "No database server takes writes.",
        "Pages that only read still work; nothing can be saved.",
    ),
    # The role check's /writer says no to a server outside its group, and to a replica, whatever its mysqld takes: that
    # is super_read_only alone (mysqld_exporter, collector global_variables). A sample of a server that was primary a
    # moment ago may be 15 s older than one of the new primary: a scrape, and the time in which the next one fails.
    Alert(
        "TwoWriters",
        "critical",
        "count(mysql_global_variables_super_read_only == 0) > 1 or sum(tripod_database_writer) > 1",
        30,
        "{{ $value }} database servers take writes at once.",
        "Data may diverge. Stop all but one before anything else.",
    ),
    Alert(
        "GroupMemberDown",
        "critical",
        'tripod_database_online{role="database"} == 0 or tripod_database_answers{role="database"} == 0',
        30,
        "The database on {{ $labels.server }} is not ONLINE in its group.",
        "Nothing while a majority is left; one more loss may stop writes.",
    ),
    Alert(
        "GroupNotRedundant",
        "warning",
        "max(tripod_group_online_members) < max(tripod_group_configured_members)",
        60,
        "Only {{ $value }} members of the database group are online.",
        "Nothing while a majority is left; it is less safe than it should be.",
    ),
    # A group of three takes half a minute to form when all its servers start at once.
    Alert(
        "NoMajority",
        "critical",
        "max(tripod_group_online_members) < max(tripod_group_majority)",
        40,
        "Only {{ $value }} members of the database group are online: no majority.",
        "Nothing can be saved.",
    ),
    Alert(
        "ReplicationLag",
        "warning",
        "tripod_replication_lag_seconds > 30",
        120,
        "The database on {{ $labels.server }} is {{ $value | humanizeDuration }} behind.",
        "Readers may see old data; a failover to this server takes longer.",
    ),
    Alert(
        "ReadReplicaBroken",
        "warning",
        'tripod_database_reader{role="read_replica"} == 0',
        120,
        "The read replica on {{ $labels.server }} cannot be read from.",
        "Nothing; reads go to other servers.",
        _replicas,
    ),
    Alert(
        "BackupTooOld",
        "warning",
        f"time() - max(tripod_last_backup_timestamp_seconds) > {BACKUP_HOURS * _HOUR}",
        60,
        "The newest backup is {{ $value | humanizeDuration }} old.",
        "Nothing now; a restore would have to replay more, or lose more.",
    ),
    # What was never measured is not old: it is missing, and a young stack has until its second night.
    Alert(
        "BackupMissing",
        "warning",
        "absent(tripod_last_backup_timestamp_seconds)",
        BACKUP_HOURS * _HOUR,
        f"No server knows of any backup, for {BACKUP_HOURS} hours.",
        "Nothing now; the loss of all database servers would be the loss of all data.",
    ),
    Alert(
        "BinlogShippingBehind",
        "critical",
        f"time() - max(tripod_last_binlog_shipped_timestamp_seconds) > {BINLOG_SECONDS}",
        60,
        "No server has shipped a binary log for {{ $value | humanizeDuration }}.",
        "Nothing now; what was written since is in no backup.",
    ),
    # Each member ships its own log of everything: what one object lacks, another server's has. A member that has never
    # shipped has no time stamp, and counts, too. One that comes back is given the time to ship what it wrote before.
    Alert(
        "MemberShipsNoBinlogs",
        "warning",
        "tripod_database_online == 1 unless on (server) "
        f"time() - tripod_last_binlog_shipped_timestamp_seconds <= {BINLOG_SECONDS}",
        600,
        "{{ $labels.server }} is ONLINE in its group, but ships no binary logs.",
        "Nothing while another server ships; a lost or damaged object may then be a gap, which no restore crosses.",
    ),
    Alert(
        "BinlogShippingMissing",
        "warning",
        "absent(tripod_last_binlog_shipped_timestamp_seconds)",
        1800,
        "No server says that it ships binary logs.",
        "Nothing now; what is written is in no backup before the next night.",
    ),
    Alert(
        "RestoreDrillTooOld",
        "warning",
        f"time() - max(tripod_last_verified_restore_timestamp_seconds) > {RESTORE_DAYS * 24 * _HOUR}",
        60,
        "No backup was restored and checked for {{ $value | humanizeDuration }}.",
        "Nothing now; it is not known that the backups can be used.",
    ),
    # Known only after a first good drill: one that never worked is not old, it is missing.
    Alert(
        "RestoreDrillMissing",
        "warning",
        "absent(tripod_last_verified_restore_timestamp_seconds)",
        RESTORE_DAYS * 24 * _HOUR,
        f"No server knows of a backup that was restored and checked, for {RESTORE_DAYS} days.",
        "Nothing now; it is not known that the backups can be used.",
    ),
)
