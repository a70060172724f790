"""What the hosts run: the distribution that this machine's archive surely has, or the one that production runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rehearsal.shell import RehearsalError

VARIABLE = "TRIPOD_DISTRIBUTION"
_KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True)
class Distribution:
    """A release of a distribution, as mmdebstrap is told of it."""

    name: str
    suite: str
    components: tuple[str, ...]
    what: str

    @property
    def keyring_package(self) -> str:
        """The package that has the keys of its archive, in a file of the same name."""
        return f"{self.name}-archive-keyring"

    @property
    def mirror_variable(self) -> str:
        """Environment variable with the address of a mirror to build from."""
        return f"TRIPOD_{self.name.upper()}_MIRROR"

    @property
    def keyring_variable(self) -> str:
        """Environment variable with a file of the archive's keys."""
        return f"TRIPOD_{self.name.upper()}_KEYRING"

    @property
    def keyring(self) -> Path:
        """The file with the keys that the archive is signed with."""
        named = os.environ.get(self.keyring_variable, "").strip()
        return Path(named) if named else _KEYRINGS / f"{self.keyring_package}.gpg"

    @contextlib.contextmanager
    def keys(self) -> Iterator[Path]:
        """A directory that holds the keyring and nothing else, for as long as apt needs it.

        mmdebstrap would find the keyring itself, but only where gpg is installed or apt trusts it anyway: on Ubuntu
        it finds no key of Debian's. A file that is named to apt is a deprecated setting, whose warning mmdebstrap takes
        for an error, and apt goes by the end of the name; a directory is neither.
        """
        content = self.keyring.read_bytes()
        ending = "asc" if content.lstrip().startswith(b"-----BEGIN") else "gpg"
        with tempfile.TemporaryDirectory(prefix="tripod-keys-") as name:
            directory = Path(name)
            directory.chmod(0o755)  # apt reads it as a user of its own
            copy = directory / f"{self.name}-archive.{ending}"
            copy.write_bytes(content)
            copy.chmod(0o644)
            yield directory


DEBIAN = Distribution("debian", "sid", ("main",), "Debian sid, with MySQL 9.7")
"""The only suite of Debian that has MySQL."""

UBUNTU = Distribution("ubuntu", "resolute", ("main", "universe"), "Ubuntu 26.04 LTS, with MySQL 8.4")
"""What the servers run on AWS (components/lookups.py)."""

DISTRIBUTIONS = {one.name: one for one in (DEBIAN, UBUNTU)}


def chosen(name: str | None = None) -> Distribution:
    """The distribution of that name, else that of TRIPOD_DISTRIBUTION, else Debian.

    Raises RehearsalError for a name that is none.
    """
    wanted = name or os.environ.get(VARIABLE, "").strip() or DEBIAN.name
    if wanted not in DISTRIBUTIONS:
        where = "--distribution" if name else VARIABLE
        raise RehearsalError(f"{where}: '{wanted}' is no distribution of the hosts: {' or '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[wanted]
