"""What a machine must have for the rehearsal to run on it."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

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

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing() -> list[str]:
    """Everything that keeps the rehearsal from running here, one sentence each; empty when it can run."""
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
    if not KEYRING.exists():
        problems.append("Debian's keyring is missing: apt-get install debian-archive-keyring")
    if root and not problems:
        trial = run(["unshare", "--mount", "--net", "true"], check=False)
        if not trial.ok:
            problems.append(
                f"root may not make namespaces here, as in a container of few rights ({trial.stderr.strip()})"
            )
    return problems
