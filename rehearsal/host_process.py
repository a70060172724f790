"""How a rehearsal host is started and entered: the commands around systemd-nspawn and nsenter."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehearsal.cgroup import Cgroup
from rehearsal.paths import STATE_ROOT, StackPaths
from rehearsal.shell import RehearsalError

EXIT_REBOOT = 133  # what systemd-nspawn --keep-unit answers when the host asks to be started again

# Runs in a mount namespace of its own, so the overlay and what nspawn keeps in /run end with the host.
# A hybrid machine shows cgroup v1 in /sys/fs/cgroup; the host's systemd wants version 2 only.
_START = """\
set -eu
cgroup=$1 lower=$2 disk=$3; shift 3
echo $$ > "$cgroup/cgroup.procs"
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
umask 022
# The settings of a host's own network namespace can be written there, as on a server: systemd-sysctl does.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
exec systemd-nspawn --directory="$disk/root" "$@"
"""

# A group per command: what it starts can be ended with it, and a power cut of the host ends it too.
# The shell waits in nsenter's place: nsenter stops itself when its child is stopped, which is how systemd begins to end
# processes at shutdown, and the host would then wait for ever for a child that nobody reaps.
_ENTER = """\
set -eu
mkdir "$1"; echo $$ > "$1/cgroup.procs"; leader=$2; shift 2
exec nsenter --target "$leader" --all --no-fork -- /bin/sh -c '"$@"; exit $?' sh "$@"
"""

# nsenter gives full root of this machine; a host's root has less.
_WITHOUT = ("sys_module", "sys_rawio", "mknod", "sys_time", "syslog", "mac_admin", "mac_override", "bpf", "perfmon")

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
}


def start_command(cgroup: Cgroup, image: Path, disk: Path, name: str, hostname: str, netns: Path) -> list[str]:
    """The command that becomes a host: it holds the console on its standard output and ends when the host is off."""
    return [
        "unshare", "--mount", "--propagation", "private", "--",
        "sh", "-c", _START, "sh", str(cgroup.path), str(image), str(disk),
        "--quiet", "--register=no", "--keep-unit", "--boot", f"--machine={name}", f"--hostname={hostname}",
        f"--network-namespace-path={netns}", "--console=pipe", "--resolv-conf=off", "--timezone=off",
        "--link-journal=no", "--capability=CAP_NET_ADMIN", "--drop-capability=CAP_MKNOD",
    ]  # fmt: skip


def enter_command(
    cgroup: Cgroup, leader: int, group: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> list[str]:
    """The command that runs `command` as root inside the host whose first process is `leader`."""
    variables = {**ENVIRONMENT, **(environment or {})}
    return [
        "sh", "-c", _ENTER, "sh", str(cgroup.path / group), str(leader),
        "setpriv", f"--bounding-set={','.join(f'-{name}' for name in _WITHOUT)}",
        "env", "--ignore-environment", "--chdir=/root", *(f"{key}={value}" for key, value in variables.items()),
        *command,
    ]  # fmt: skip


def leader_of(cgroup: Cgroup) -> int | None:
    """The process of this machine that is the host's first (its systemd), or None when there is none (yet).

    A booting systemd moves itself to a group of its own, so one look may just miss it: None is not final then.
    """
    for group in cgroup.groups():
        try:
            members = (group / "cgroup.procs").read_text().split()
        except OSError:  # the group went away while we looked
            continue
        for member in members:
            if is_leader(int(member)):
                return int(member)
    return None


def is_leader(process: int) -> bool:
    """Whether a process of this machine is the first of a namespace of processes just below, and runs systemd."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        program = Path(f"/proc/{process}/exe").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return numbers[1:] == ["1"] and program.name == "systemd"


def shell(stack: str, host: str, command: Sequence[str], *, state_root: Path = STATE_ROOT) -> int:
    """Run `command` inside a running host on this process's own terminal; return its exit code.

    For a process that does not own the stack (the command line). Raises RehearsalError when the host is off.
    """
    cgroup = Cgroup(StackPaths(stack, state_root).object_name(host))
    leader = leader_of(cgroup) or leader_of(cgroup)
    if leader is None:
        raise RehearsalError(f"{host} of stack {stack} is not running")
    group = f"shell-{os.getpid()}-{time.monotonic_ns()}"
    terminal = {"TERM": os.environ.get("TERM", "dumb")}
    try:
        return subprocess.call(enter_command(cgroup, leader, group, command, terminal))
    finally:
        with contextlib.suppress(OSError):  # it left a process behind: the group ends with the host
            (cgroup.path / group).rmdir()
