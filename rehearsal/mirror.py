"""Where the image's packages come from: as this machine's own apt is set up, or mmdebstrap's default."""

from __future__ import annotations

import os
from pathlib import Path

from rehearsal.distribution import DEBIAN, Distribution
from rehearsal.shell import RehearsalError, run


def mirror(distribution: Distribution, os_release: str | None = None, targets: str | None = None) -> list[str]:
    """The MIRROR argument of mmdebstrap, or nothing for its own default (the distribution's standard mirrors).

    In this order: the environment variable TRIPOD_DEBIAN_MIRROR or TRIPOD_UBUNTU_MIRROR; for Debian the mirror that
    this machine's apt uses, when the machine runs Debian; mmdebstrap's default, which takes Ubuntu's updates along. The
    last two arguments are for tests.
    """
    named = os.environ.get(distribution.mirror_variable, "").strip()
    if named:
        return [named]
    if distribution != DEBIAN:
        return []
    if os_release is None:
        file = Path("/etc/os-release")
        os_release = file.read_text() if file.exists() else ""
    if "ID=debian" not in os_release.splitlines():
        return []
    if targets is None:
        try:
            targets = run(
                ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI) $(RELEASE)"], check=False
            ).stdout
        except RehearsalError:
            return []
    for line in targets.splitlines():
        created_by, uri, release = (*line.split(), "", "", "")[:3]
        # A security or backports archive has no sid; a third party's archive has no plain Debian suite.
        if created_by == "Packages" and uri.rstrip("/").endswith("/debian") and "-" not in release:
            return [uri.rstrip("/")]
    return []


def acquire_options() -> list[str]:
    """apt options of the build: this machine's proxies, patience, and no expiry of the mirror's Release file."""
    options = [
        'Acquire::Check-Valid-Until "false"',  # a mirror of sid that is some days behind is good enough
        'Acquire::Retries "3"',
        'Acquire::http::Timeout "60"',
        'Acquire::https::Timeout "60"',
        'Acquire::Languages "none"',
    ]
    try:
        dump = run(["apt-config", "dump", "--format", "%f %v%n", "Acquire"], check=False).stdout
    except RehearsalError:
        return options
    for line in dump.splitlines():
        name, _, value = line.partition(" ")
        if name.lower().startswith(("acquire::http::proxy", "acquire::https::proxy")) and value and '"' not in value:
            options.append(f'{name} "{value}"')
    return options
