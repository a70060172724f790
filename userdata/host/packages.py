"""Install the packages that are missing, and only those: a rehearsal host has no way out and needs none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from . import database_package
from .errors import EXIT_PACKAGES, StepError
from .system import Result, System

APT_SECONDS = 900.0
# Cloud images run their own apt jobs right after boot. dpkg's lock is waited for by apt-get itself (apt.conf(5)), that
# of the package lists is not: the second apt-get that wants it ends at once.
PATIENCE_SECONDS = 300
AGAIN_SECONDS = 5.0

# dpkg's maintainer scripts ask this program before they start a service (Debian policy 9.3.3.1; 101 = forbidden).
# Without it the package would start, say, mysqld with the distribution's configuration on the stack's data. (A script
# that calls mysqld itself asks nobody: see database_package.)
POLICY = "/usr/sbin/policy-rc.d"


def missing(system: System, names: Sequence[str]) -> list[str]:
    """Those of `names` that are not installed."""
    if not names:
        return []
    form = "${Package} ${db:Status-Status}\\n"
    query = system.run(["dpkg-query", "--show", "--showformat", form, *names], timeout=60)
    installed = {line.split()[0] for line in query.output.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install(system: System, names: Sequence[str]) -> list[str]:
    """Install what is missing without starting it; the names. Raises StepError when apt fails."""
    if database_package.PACKAGE in names:
        database_package.guard(system)
    wanted = missing(system, names)
    if not wanted:
        return []
    policy = system.path(POLICY)
    ours = not policy.exists()
    if ours:
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text("#!/bin/sh\n# tripod: services start when their configuration is in place\nexit 101\n")
        policy.chmod(0o755)
    try:
        result = _update(system)
        if result.ok:
            result = _apt_get(system, "install", "--yes", "--no-install-recommends", *wanted)
        if not result.ok:
            problem = f"packages {' '.join(wanted)} cannot be installed ({result.last_line})"
            raise StepError("packages", problem, "see that the server reaches its package mirror", EXIT_PACKAGES)
    finally:
        if ours:
            with suppress(FileNotFoundError):
                policy.unlink()
    return wanted


def _update(system: System) -> Result:
    """Fetch the package lists, again and again for PATIENCE_SECONDS; how the last try ended."""
    results: list[Result] = []

    def done() -> bool:
        results.append(_apt_get(system, "update"))
        return results[-1].ok

    system.wait(done, seconds=PATIENCE_SECONDS, interval=AGAIN_SECONDS)
    return results[-1]


def _apt_get(system: System, *words: str) -> Result:
    command = ["apt-get", "--quiet", "--option", f"DPkg::Lock::Timeout={PATIENCE_SECONDS}", *words]
    env = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    return system.run(command, timeout=APT_SECONDS, env=env)
