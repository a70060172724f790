"""What turns a freshly installed tree into a host as AWS would start it, but for where its metadata service is."""

from __future__ import annotations

import shutil
from pathlib import Path

from rehearsal.shell import run

# The distribution turns services on when it installs them. On AWS user data installs them and the bundle decides;
# here they are in the image already, so the image must not decide either.
DISABLED_UNITS = (
    "haproxy.service", "keepalived.service", "mysql.service", "prometheus.service", "prometheus-alertmanager.service",
    "prometheus-node-exporter.service", "prometheus-mysqld-exporter.service", "nftables.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "getty@tty1.service", "systemd-pstore.service", "cloud-init-hotplugd.socket",
    "rsyslog.service",
)  # fmt: skip
# The fabric gives a host its address before it starts: nothing here configures a network or waits for one.
MASKED_UNITS = ("console-getty.service", "systemd-networkd-wait-online.service", "netplan-configure.service")

GATE = "/dev/.tripod-devices"
"""Appears in a host's /dev when its disks are there: what udev's settling is to a real machine."""

FILES = {
    # cloud-init as on EC2. strict_id: a container has no DMI table that says "ec2". And nobody logs in over SSH, no
    # udev waits for a network card, and the tree has no locales but C's.
    "etc/cloud/cloud.cfg.d/90_tripod_rehearsal.cfg": """\
datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ["http://169.254.169.254"]
    max_wait: 60
    timeout: 5
network: {config: disabled}
updates: {network: {when: [boot]}}
ssh_genkeytypes: []
locale: false
""",
    "etc/cloud/ds-identify.cfg": "datasource: Ec2\npolicy: enabled\n",
    "etc/systemd/journald.conf.d/90-tripod-rehearsal.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=256M\n",
    "etc/systemd/system/tripod-rehearsal-devices.service": f"""\
[Unit]
Description=Wait for the disks of this host
DefaultDependencies=no
Before=local-fs-pre.target cloud-init-main.service cloud-init-local.service sysinit.target
Wants=local-fs-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until [ -e {GATE} ]; do sleep 0.02; done'
TimeoutStartSec=60
""",
    "etc/machine-id": "",  # empty, not absent: absent would mean "first boot" and undo the disabling of units
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
}
_GATE_WANT = "etc/systemd/system/sysinit.target.wants/tripod-rehearsal-devices.service"


def finish(root: Path) -> None:
    """Adjust the installed tree at `root` in place."""
    for unit in DISABLED_UNITS:
        # a unit that the suite does not have any more is no error
        run(["systemctl", f"--root={root}", "--quiet", "disable", unit], check=False)
    for unit in MASKED_UNITS:
        _link(root / "etc/systemd/system" / unit, "/dev/null")
    _link(root / _GATE_WANT, "/etc/systemd/system/tripod-rehearsal-devices.service")
    for name, text in FILES.items():
        file = root / name
        if file.is_symlink():
            file.unlink()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
    # The package initialises a data directory: every host would be the same MySQL server (auto.cnf).
    _empty(root / "var/lib/mysql")
    _empty(root / "var/log/mysql")
    _empty(root / "var/lib/apt/lists")
    for name in ("etc/hostname", "var/lib/dbus/machine-id", "etc/apt/apt.conf.d/99mmdebstrap"):
        (root / name).unlink(missing_ok=True)
    (root / "var/lib/tripod").mkdir(mode=0o755, exist_ok=True)
    (root / "var/log/journal").mkdir(mode=0o755, exist_ok=True)


def _empty(directory: Path) -> None:
    if not directory.is_dir():
        return
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _link(file: Path, target: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(target)
