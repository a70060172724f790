"""For each alert the series with which it must fire, and those with which it must not (promtool's notation)."""

from __future__ import annotations

HAPROXY = 'up{job="haproxy", server="server-1", load_balancer="yes"}'
APPS = 'haproxy_backend_active_servers{job="haproxy", server="server-1", load_balancer="yes", proxy="app"}'
APP = 'haproxy_server_status{job="haproxy", server="server-1", proxy="app", state="UP", exported_server="server-2"}'
FRONT = 'haproxy_frontend_http_responses_total{server="server-1", proxy="https", code="%s"}'
TIME = 'haproxy_backend_total_time_average_seconds{server="server-1", proxy="app"}'
COUNT = 'haproxy_backend_http_requests_total{server="server-1", proxy="app"}'
READ_ONLY = 'mysql_global_variables_super_read_only{job="mysql", server="server-%d"}'
WRITER = 'tripod_database_writer{server="server-%d", role="database"}'
ONLINE = 'tripod_database_online{server="server-2", role="database"}'
ANSWERS = 'tripod_database_answers{server="server-2", role="database"}'
HERE = 'tripod_floating_address_here{server="server-%d"}'
MASTER = 'tripod_vrrp_master{server="server-%d"}'
MEMBERS = 'tripod_group_%s{server="server-1"}'
FREE = 'node_filesystem_avail_bytes{server="server-1", mountpoint="%s", fstype="ext4"}'
SIZE = 'node_filesystem_size_bytes{server="server-1", mountpoint="%s", fstype="ext4"}'
DRILLED = "tripod_last_verified_restore_timestamp_seconds"
MEMORY = 'node_memory_Mem%s_bytes{server="server-1"}'
NODE = 'up{job="node", server="server-1"}'
SHIPPED = 'tripod_last_binlog_shipped_timestamp_seconds{server="server-%d"}'
GIB = 2**30

Series = dict[str, str]


def flat(value: float) -> str:
    """A series that stays at `value`."""
    return f"{value:g}x250"


def disk(mountpoint: str, free: str) -> Series:
    """A file system of 20 GiB."""
    return {FREE % mountpoint: free, SIZE % mountpoint: flat(20 * GIB)}


def members(online: int) -> Series:
    return {
        MEMBERS % "online_members": flat(online),
        MEMBERS % "configured_members": flat(3),
        MEMBERS % "majority": flat(2),
    }


def falling(mountpoint: str) -> Series:
    """From 5 GiB, 6 MiB less with each sample (every 10 s): empty in two hours and a half."""
    return disk(mountpoint, f"{5 * GIB}-{6 * 2**20}x250")


def age(metric: str, text: str) -> Series:
    return {f'{metric}{{server="server-3"}}': text}


# The clock of the tests begins at 0, so an old time stamp is one before it.
DAY = 86400

# name: (series that make it fire, series with which it is silent)
CASES: dict[str, tuple[Series, Series]] = {
    "SiteDown": ({HAPROXY: flat(1), APPS: flat(0)}, {HAPROXY: flat(1), APPS: flat(1)}),
    "LoadBalancerDown": ({HAPROXY: flat(0)}, {HAPROXY: flat(1)}),
    "ApplicationServerDown": ({APP: flat(0)}, {APP: flat(1)}),
    "ErrorRate": (
        {FRONT % "5xx": "0+10x250", FRONT % "2xx": "0+90x250"},
        {FRONT % "5xx": "0+1x250", FRONT % "2xx": "0+99x250"},
    ),
    "Latency": ({TIME: flat(3), COUNT: "0+10x250"}, {TIME: flat(3), COUNT: flat(7)}),
    "FloatingAddressNowhere": (
        {HERE % 1: flat(0), HERE % 2: flat(0)},
        {HERE % 1: flat(0), HERE % 2: flat(1)},
    ),
    "FloatingAddressMisplaced": (
        {MASTER % 1: flat(1), HERE % 1: flat(0), HERE % 2: flat(1)},
        {MASTER % 1: flat(1), HERE % 1: flat(1), MASTER % 2: flat(0), HERE % 2: flat(0)},
    ),
    "TwoVrrpMasters": ({MASTER % 1: flat(1), MASTER % 2: flat(1)}, {MASTER % 1: flat(1), MASTER % 2: flat(0)}),
    "NoVrrpMaster": ({MASTER % 1: flat(0), MASTER % 2: flat(0)}, {MASTER % 1: flat(0), MASTER % 2: flat(1)}),
    "NoPrimary": ({WRITER % 1: flat(0), WRITER % 2: flat(0)}, {WRITER % 1: flat(1), WRITER % 2: flat(0)}),
    # Open although no role check says so: out of its group, or a replica that somebody opened.
    "TwoWriters": (
        {READ_ONLY % 1: flat(0), READ_ONLY % 2: flat(0), WRITER % 1: flat(1), WRITER % 2: flat(0)},
        {READ_ONLY % 1: flat(0), READ_ONLY % 2: flat(1), WRITER % 1: flat(1), WRITER % 2: flat(0)},
    ),
    "GroupMemberDown": ({ANSWERS: flat(0)}, {ANSWERS: flat(1), ONLINE: flat(1)}),
    "GroupNotRedundant": (members(2), members(3)),
    "NoMajority": (members(1), members(2)),
    "ReplicationLag": (
        {'tripod_replication_lag_seconds{server="server-2"}': flat(90)},
        {'tripod_replication_lag_seconds{server="server-2"}': flat(1)},
    ),
    "ReadReplicaBroken": (
        {'tripod_database_reader{server="replica-4", role="read_replica"}': flat(0)},
        {'tripod_database_reader{server="replica-4", role="read_replica"}': flat(1)},
    ),
    "BackupTooOld": (
        age("tripod_last_backup_timestamp_seconds", flat(-2 * DAY)),
        age("tripod_last_backup_timestamp_seconds", flat(-DAY)),
    ),
    "BackupMissing": ({}, age("tripod_last_backup_timestamp_seconds", "0x2000")),
    "BinlogShippingMissing": ({}, age("tripod_last_binlog_shipped_timestamp_seconds", flat(0))),
    "BinlogShippingBehind": (
        age("tripod_last_binlog_shipped_timestamp_seconds", flat(-600)),
        age("tripod_last_binlog_shipped_timestamp_seconds", "0+10x250"),
    ),
    "MemberShipsNoBinlogs": (
        {ONLINE: flat(1), SHIPPED % 2: flat(-600), SHIPPED % 3: "0+10x250"},
        {ONLINE: flat(1), SHIPPED % 2: "0+10x250", SHIPPED % 3: flat(-600)},
    ),
    "RestoreDrillTooOld": (
        age(DRILLED, flat(-9 * DAY)),
        age(DRILLED, flat(-6 * DAY)),
    ),
    "RestoreDrillMissing": ({}, age(DRILLED, "0x3000")),
    "HostDown": (
        {'up{job="node", server="server-2"}': flat(0)},
        {'up{job="node", server="server-2"}': flat(1)},
    ),
    "DiskNearlyFull": (disk("/", flat(GIB / 2)), disk("/", flat(2 * GIB))),
    "DiskFullSoon": (falling("/"), disk("/", flat(5 * GIB))),
    "DataVolumeNearlyFull": (disk("/var/lib/tripod", flat(GIB)), disk("/var/lib/tripod", flat(3 * GIB))),
    "DataVolumeFullSoon": (falling("/var/lib/tripod"), disk("/var/lib/tripod", flat(5 * GIB))),
    "MemoryPressure": (
        {MEMORY % "Available": flat(1), MEMORY % "Total": flat(100)},
        {MEMORY % "Available": flat(20), MEMORY % "Total": flat(100)},
    ),
    "OutOfMemory": (
        {'node_vmstat_oom_kill{server="server-1"}': "0+1x250"},
        {'node_vmstat_oom_kill{server="server-1"}': flat(4)},
    ),
    "CertificateExpiring": (
        {'tripod_certificate_not_after_timestamp_seconds{server="server-1", certificate="site"}': flat(13 * DAY)},
        {'tripod_certificate_not_after_timestamp_seconds{server="server-1", certificate="site"}': flat(30 * DAY)},
    ),
    "CertificateUnwatched": (
        {NODE: flat(1)},
        {NODE: flat(1), 'tripod_certificate_not_after_timestamp_seconds{server="server-1", certificate="ca"}': flat(1)},
    ),
    "BundleApplyFailed": (
        {'tripod_last_apply_success{server="server-1"}': flat(0)},
        {'tripod_last_apply_success{server="server-1"}': flat(1)},
    ),
    "BundleNotApplied": (
        {'tripod_bundle_current{server="server-1"}': flat(0)},
        {'tripod_bundle_current{server="server-1"}': flat(1)},
    ),
    "RebootRequired": (
        {'tripod_reboot_required_timestamp_seconds{server="server-1"}': flat(-3 * 86400)},
        {'tripod_reboot_required_timestamp_seconds{server="server-1"}': flat(-2 * 86400)},
    ),
    "LogsNotShipped": (
        {'tripod_logs_shipped{server="server-1"}': flat(0)},
        {'tripod_logs_shipped{server="server-1"}': flat(1)},
    ),
    "HostFactsStale": (
        {NODE: flat(1), 'tripod_host_facts_timestamp_seconds{server="server-1"}': flat(-300)},
        {NODE: flat(1), 'tripod_host_facts_timestamp_seconds{server="server-1"}': "0+10x250"},
    ),
    "TargetMissing": (
        {'up{job="mysql", server="server-2"}': flat(0)},
        {'up{job="mysql", server="server-2"}': flat(1)},
    ),
    "NotificationsFail": (
        {'alertmanager_notifications_failed_total{server="server-3", integration="sns", reason="other"}': "0+1x250"},
        {'alertmanager_notifications_failed_total{server="server-3", integration="sns", reason="other"}': flat(3)},
    ),
    "MonitoringPairBroken": (
        {'up{job="prometheus", server="server-2"}': flat(0)},
        {'up{job="prometheus", server="server-2"}': flat(1)},
    ),
    "AlertmanagersApart": (
        {
            'alertmanager_cluster_members{server="server-1"}': flat(1),
            'up{job="alertmanager", server="server-1"}': flat(1),
            'up{job="alertmanager", server="server-2"}': flat(1),
        },
        {
            'alertmanager_cluster_members{server="server-1"}': flat(2),
            'up{job="alertmanager", server="server-1"}': flat(1),
            'up{job="alertmanager", server="server-2"}': flat(1),
        },
    ),
}

# What a pair of cases cannot show: (alert, what is tried, series, whether it must fire at some moment).
MORE: tuple[tuple[str, str, Series, bool], ...] = (
    ("TwoWriters", "two role checks say yes", {WRITER % 1: flat(1), WRITER % 2: flat(1)}, True),
    (
        "TwoWriters",
        "a server is open out of its group for a minute",
        {READ_ONLY % 1: flat(0), READ_ONLY % 2: "1x30 0x6 1x200"},
        True,
    ),
    # The old primary's last sample is seen beside the new one's first.
    (
        "TwoWriters",
        "a planned hand-over",
        {
            READ_ONLY % 1: "0x29 1x220",
            READ_ONLY % 2: "1x27 0x222",
            WRITER % 1: "1x29 0x220",
            WRITER % 2: "0x27 1x222",
        },
        False,
    ),
    # The exporter of a server that has lost its power cannot be scraped: its series end.
    (
        "TwoWriters",
        "the primary is lost",
        {READ_ONLY % 1: "0x29 stale", READ_ONLY % 2: "1x27 0x222", WRITER % 1: "1x29 stale", WRITER % 2: "0x27 1x222"},
        False,
    ),
    # tripod-group refuses to let it join, and waits for a person: its role check answers, and says OFFLINE.
    ("GroupMemberDown", "a member is refused", {ANSWERS: flat(1), ONLINE: flat(0)}, True),
    ("MemberShipsNoBinlogs", "a member never shipped any", {ONLINE: flat(1), SHIPPED % 3: "0+10x250"}, True),
    ("MemberShipsNoBinlogs", "it is not ONLINE", {ONLINE: flat(0), SHIPPED % 2: flat(-600)}, False),
    (
        "MemberShipsNoBinlogs",
        "a member comes back, and ships what it wrote before",
        {ONLINE: "0x60 1x190", SHIPPED % 2: "-600x90 910+10x160"},
        False,
    ),
    (
        "BinlogShippingBehind",
        "one of two ships",
        {SHIPPED % 2: flat(-600), SHIPPED % 3: "0+10x250"},
        False,
    ),
    ("RestoreDrillMissing", "the first drill comes on the last day", age(DRILLED, "_x2600 1x400"), False),
)
