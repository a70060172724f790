"""Initialise MySQL's data directory when it is empty: run as root before every start of mysql.service.

The data volume of a new server is blank, but for a flag that the distribution's package leaves. `mysqld
--initialize-insecure` makes root@localhost without a password; an init file changes it to auth_socket in the same run,
before anything listens. --no-defaults, because mysqld loads no plugins while it initialises and would refuse their
options, and because the configuration lets the unit alone run it (docs/adr/0015).

A marker (a hidden file: mysqld calls a directory with one still empty) is there from before the first byte until
initialisation has ended, so that a power cut in between is recognised: what it left was never in service and is
removed. Anything else that is not a data directory is refused, not touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

DIRECTORY = Path("/var/lib/mysql")
INIT_FILE = Path("/etc/mysql/tripod-initialise.sql")
MARKER = ".tripod-initialising"
FLAGS = "debian-*.flag"
"""The package's postinst puts one into the data directory, also where it was kept from initialising it."""


class InitialisationError(RuntimeError):
    """The data directory is neither empty nor MySQL's, or mysqld could not initialise it."""


def state(directory: Path) -> str:
    """What a data directory is: "empty", "interrupted", "initialised" or "foreign"."""
    flags = {entry.name for entry in directory.glob(FLAGS)}
    names = {entry.name for entry in directory.iterdir()} - {"lost+found"} - flags
    if MARKER in names:
        return "interrupted"
    if not names:
        return "empty"
    return "initialised" if "mysql.ibd" in names else "foreign"


def initialise(directory: Path, init_file: Path, user: str = "mysql") -> str:
    """Bring `directory` to "initialised"; returns the state it was found in. Idempotent."""
    found = state(directory)
    if found == "initialised":
        return found
    if found == "foreign":
        raise InitialisationError(f"{directory} holds files, but no MySQL data directory; move them away")
    if found == "interrupted":
        for entry in directory.iterdir():
            if entry.name != MARKER:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    marker = directory / MARKER
    marker.touch()
    for flag in directory.glob(FLAGS):  # mysqld would take the directory for one in use
        flag.unlink()
    _sync(directory)
    shutil.chown(directory, user, user)
    directory.chmod(0o750)
    command = ["mysqld", "--no-defaults", f"--datadir={directory}", "--initialize-insecure", "--disable-log-bin"]
    done = subprocess.run([*command, f"--init-file={init_file}"], user=user, group=user, extra_groups=[], check=False)
    if done.returncode != 0:
        raise InitialisationError(f"mysqld --initialize-insecure ended with {done.returncode}")
    marker.unlink()
    _sync(directory)
    return found


def _sync(directory: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """Exit code 0 when mysqld may start."""
    try:
        found = initialise(DIRECTORY, INIT_FILE)
    except (InitialisationError, OSError) as error:
        print(f"tripod: {error}", file=sys.stderr)
        return 1
    if found != "initialised":
        print(f"tripod: {DIRECTORY} was {found}, is initialised now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
