"""What a machine must have for the rehearsal to run on it."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from rehearsal.distribution import DEBIAN, Distribution, chosen
from rehearsal.shell import run, tool_environment

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "losetup": "mount",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "mkfs.ext4": "e2fsprogs",
    "journalctl": "systemd",
}
"""Program -> the package of Debian and Ubuntu that has it. tools/bootstrap, which comes before Python, has it again."""

DISTRO_INFO = Path("/usr/share/distro-info")
"""The suites of each distribution, one a line (package distro-info-data): where mmdebstrap looks a suite up."""


def missing(distribution: Distribution | None = None) -> list[str]:
    """Everything that keeps the rehearsal from running here, one sentence each; empty when it can run."""
    distribution = distribution or chosen()
    if platform.system() != "Linux":
        return [f"the rehearsal needs Linux; this is {platform.system()}"]
    problems = []
    root = os.geteuid() == 0
    if not root:
        problems.append("the rehearsal needs root (namespaces, mounts, loop devices)")
    path = tool_environment()["PATH"]
    packages = sorted({package for tool, package in TOOLS.items() if shutil.which(tool, path=path) is None})
    if packages:
        problems.append(f"packages are missing: apt-get install {' '.join(packages)}")
    if not distribution.keyring.exists():
        problems.append(_no_keyring(distribution))
    if distribution != DEBIAN and not _knows(distribution):
        problems.append(
            f"mmdebstrap does not know here whose suite '{distribution.suite}' is: apt-get install distro-info-data (a "
            f"newer one where it is there), or name a mirror in {distribution.mirror_variable}"
        )
    if root and not problems:
        trial = run(["unshare", "--mount", "--net", "true"], check=False)
        if not trial.ok:
            problems.append(
                f"root may not make namespaces here, as in a container of few rights ({trial.stderr.strip()})"
            )
    return problems


def _knows(distribution: Distribution) -> bool:
    """Whether mmdebstrap finds the mirror of the suite by itself, or is told one."""
    if os.environ.get(distribution.mirror_variable, "").strip():
        return True
    file = DISTRO_INFO / f"{distribution.name}.csv"
    return file.exists() and f",{distribution.suite}," in file.read_text()


def _no_keyring(distribution: Distribution) -> str:
    name = distribution.name.capitalize()
    where = "" if distribution == DEBIAN else " (Debian 13 and later have it)"
    return (
        f"the keys of {name}'s archive are missing ({distribution.keyring}): apt-get install "
        f"{distribution.keyring_package}{where}, or name a file of them in {distribution.keyring_variable}"
    )
