"""Which section of the runbook each alert leads to. tests/userdata/test_alerts.py checks that the runbook agrees."""

from __future__ import annotations

from collections.abc import Collection, Mapping

DOCUMENT = "docs/runbook.md"

# Anchor of a section: the alerts that lead to it.
SECTIONS = {
    "a-server-is-lost": ("HostDown",),
    "haproxy-is-down": ("LoadBalancerDown",),
    "the-application-is-down-on-a-server": ("ApplicationServerDown",),
    "mysql-is-down-or-out-of-its-group": ("NoPrimary", "GroupMemberDown", "GroupNotRedundant"),
    "all-database-servers-were-down": ("NoMajority",),
    "a-certificate-is-about-to-expire": ("CertificateExpiring",),
    "the-site-fails-or-is-slow": ("SiteDown", "ErrorRate", "Latency"),
    "the-floating-address-is-not-where-it-should-be": (
        "FloatingAddressNowhere",
        "FloatingAddressMisplaced",
        "TwoVrrpMasters",
        "NoVrrpMaster",
    ),
    "two-servers-take-writes": ("TwoWriters",),
    "a-replica-is-behind": ("ReplicationLag", "ReadReplicaBroken"),
    "a-disk-is-filling": ("DiskNearlyFull", "DiskFullSoon", "DataVolumeNearlyFull", "DataVolumeFullSoon"),
    "memory-is-short": ("MemoryPressure", "OutOfMemory"),
    "a-server-runs-the-wrong-bundle": ("BundleApplyFailed", "BundleNotApplied"),
    "monitoring-is-blind-or-mute": (
        "TargetMissing",
        "HostFactsStale",
        "CertificateUnwatched",
        "NotificationsFail",
        "MonitoringPairBroken",
        "AlertmanagersApart",
    ),
    "planned-work-on-one-server": ("RebootRequired",),
    "logs-are-not-shipped": ("LogsNotShipped",),
    "backups-are-late-or-missing": (
        "BackupTooOld",
        "BackupMissing",
        "BinlogShippingBehind",
        "BinlogShippingMissing",
        "MemberShipsNoBinlogs",
        "RestoreDrillTooOld",
        "RestoreDrillMissing",
    ),
}


def section(sections: Mapping[str, Collection[str]], name: str) -> str:
    """The runbook's section, of these, that `name` leads to. Raises KeyError when none does."""
    for anchor, names in sections.items():
        if name in names:
            return f"{DOCUMENT}#{anchor}"
    raise KeyError(name)


def runbook(alert: str) -> str:
    """Where the runbook says what to do. Raises KeyError for an alert that it does not know."""
    return section(SECTIONS, alert)
