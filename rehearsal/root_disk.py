"""The root disk of a rehearsal host: the image below, what the host wrote above, and its console."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.firewall_rules import API_ADDRESS
from rehearsal.shell import run


def aws_config(region: str, endpoint: str = f"http://{API_ADDRESS}") -> str:
    """Text of /root/.aws/config that points boto3 and the AWS CLI at the emulated AWS (buckets by path: no DNS)."""
    return (
        f"[default]\nregion = {region}\nendpoint_url = {endpoint}\n"
        "retries = 5\nretry_mode = standard\ns3 =\n    addressing_style = path\n"
    )


def aws_environment(endpoint: str = f"http://{API_ADDRESS}") -> str:
    """Text of /etc/default/aws: the same endpoint for programs of services, which do not read root's files."""
    return f"AWS_ENDPOINT_URL={endpoint}\n"


@dataclass(frozen=True)
class RootDisk:
    """The parts of an overlay: `upper` (the host's own), `work` and `root` (where it is mounted while it runs)."""

    directory: Path
    image: Path
    files: Mapping[str, str]
    """Absolute path -> text, on the disk before the first boot, mode 0600."""

    @property
    def console(self) -> Path:
        """Everything that the host wrote to its console since it was made."""
        return self.directory / "console.log"

    @property
    def journal(self) -> Path:
        """The journal's files, to be read while the host is off."""
        return self.directory / "upper/var/log/journal"

    def prepare(self) -> None:
        """Make the disk, as a new instance's; a disk that is there is left as it is (a reboot keeps it)."""
        if (self.directory / "upper").is_dir():
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in ("work", "root", "upper.new"):
            (self.directory / part).mkdir(mode=0o755, exist_ok=True)
        upper = self.directory / "upper.new"
        for path, text in self.files.items():
            file = upper / path.lstrip("/")
            for parent in reversed(file.relative_to(upper).parents):
                directory, below = upper / parent, self.image / parent
                if not directory.exists():
                    directory.mkdir()
                    # an overlay shows the upper directory's mode: keep the image's
                    directory.chmod(stat.S_IMODE(below.stat().st_mode) if below.is_dir() else 0o700)
            file.write_text(text)
            file.chmod(0o600)
        upper.chmod(0o755)
        upper.rename(self.directory / "upper")

    def console_end(self, lines: int = 30) -> str:
        """The last lines of the console."""
        text = self.console.read_text(errors="replace") if self.console.exists() else "(empty)"
        return "\n".join(text.splitlines()[-lines:])

    def remove(self) -> None:
        """Remove the disk. No error when there is none."""
        if self.directory.exists():
            run(["rm", "-rf", "--one-file-system", "--", str(self.directory)], timeout=120)
