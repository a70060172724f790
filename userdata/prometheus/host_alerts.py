"""Alerts of single servers: power, disks, memory, certificates, bundles."""

from __future__ import annotations

from userdata.prometheus.alert import Alert

_DISK = 'node_filesystem_{}_bytes{{mountpoint="{}", fstype!~"tmpfs|ramfs"}}'
_DAY = 86400
CERTIFICATE_DAYS = 14
REBOOT_DAYS = 3


def _free(mountpoint: str) -> str:
    return f"{_DISK.format('avail', mountpoint)} / {_DISK.format('size', mountpoint)}"


def _full_soon(mountpoint: str) -> str:
    available = _DISK.format("avail", mountpoint)
    return f"predict_linear({available}[1h], {4 * 3600}) < 0 and {_free(mountpoint)} < 0.3"


HOST_ALERTS = (
    Alert(
        "HostDown",
        "critical",
        'up{job="node"} == 0',
        20,
        "{{ $labels.server }} does not answer.",
        "Depends on its roles; a stack with redundant load balancers goes on, one without is down with it.",
    ),
    Alert(
        "DiskNearlyFull",
        "critical",
        f"{_free('/')} < 0.05",
        60,
        "The root disk of {{ $labels.server }} has {{ $value | humanizePercentage }} left.",
        "Nothing yet; services on this server will fail.",
    ),
    Alert(
        "DiskFullSoon",
        "warning",
        _full_soon("/"),
        600,
        "The root disk of {{ $labels.server }} will be full within four hours.",
        "Nothing yet.",
    ),
    Alert(
        "DataVolumeNearlyFull",
        "critical",
        f"{_free('/var/lib/tripod')} < 0.1",
        60,
        "The data volume of {{ $labels.server }} has {{ $value | humanizePercentage }} left.",
        "Nothing yet; MySQL stops writing when it is full.",
    ),
    Alert(
        "DataVolumeFullSoon",
        "warning",
        _full_soon("/var/lib/tripod"),
        600,
        "The data volume of {{ $labels.server }} will be full within four hours.",
        "Nothing yet.",
    ),
    Alert(
        "MemoryPressure",
        "warning",
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05",
        120,
        "{{ $labels.server }} has {{ $value | humanizePercentage }} of its memory left.",
        "The site may be slow.",
    ),
    Alert(
        "OutOfMemory",
        "warning",
        "increase(node_vmstat_oom_kill[10m]) > 0",
        0,
        "The kernel killed a process on {{ $labels.server }}: no memory was left.",
        "What was killed is started again; some requests may have failed.",
    ),
    Alert(
        "CertificateExpiring",
        "critical",
        f"tripod_certificate_not_after_timestamp_seconds - time() < {CERTIFICATE_DAYS * _DAY}",
        60,
        "The certificate `{{ $labels.certificate }}` on {{ $labels.server }} expires in "
        "{{ $value | humanizeDuration }}.",
        "Nothing yet; once it has expired browsers refuse the site, or servers each other.",
    ),
    # A server that answers, and shows no certificate: no end is watched there.
    Alert(
        "CertificateUnwatched",
        "warning",
        'up{job="node"} == 1 unless on (server) tripod_certificate_not_after_timestamp_seconds',
        1800,
        "{{ $labels.server }} does not say when its certificates expire.",
        "Nothing; one may expire unseen.",
    ),
    Alert(
        "BundleApplyFailed",
        "critical",
        "tripod_last_apply_success == 0",
        30,
        "{{ $labels.server }} could not apply its bundle; it runs the one before.",
        "Nothing, when the old bundle still fits the rest.",
    ),
    Alert(
        "BundleNotApplied",
        "warning",
        "tripod_bundle_current == 0",
        1800,
        "{{ $labels.server }} runs another bundle than the bucket has.",
        "Nothing; the server is not configured as the program says. Roll out.",
    ),
    # Security updates come by themselves, a reboot does not.
    Alert(
        "RebootRequired",
        "warning",
        f"time() - tripod_reboot_required_timestamp_seconds > {REBOOT_DAYS * _DAY}",
        60,
        "{{ $labels.server }} has waited for a reboot for {{ $value | humanizeDuration }}.",
        "Nothing; what was updated, a kernel as a rule, is not in use there.",
    ),
    Alert(
        "LogsNotShipped",
        "warning",
        "tripod_logs_shipped == 0",
        600,
        "{{ $labels.server }} does not deliver its logs to CloudWatch Logs.",
        "Nothing; the lines wait in its journal, which keeps 1 GiB.",
    ),
    Alert(
        "HostFactsStale",
        "warning",
        'up{job="node"} == 1 unless on (server) time() - tripod_host_facts_timestamp_seconds < 60',
        120,
        "tripod-metrics on {{ $labels.server }} writes nothing.",
        "Nothing; alerts that rest on its metrics cannot be trusted.",
    ),
)
