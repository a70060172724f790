"""Run the image's own programs: each command in a private, throw-away copy of the rehearsal's root file system."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Mounts live in the command's own namespace and end with it; nothing is left even when it is killed.
SCRIPT = """
set -e
scratch=$1; image=$2; shift 2
mount -t tmpfs tmpfs "$scratch/upper"
mkdir "$scratch/upper/files" "$scratch/upper/work"
mount -t overlay overlay -o "lowerdir=$image,upperdir=$scratch/upper/files,workdir=$scratch/upper/work" "$scratch/root"
mkdir -p "$scratch/root/staged"
mount --bind "$scratch/staged" "$scratch/root/staged"
mount -t proc proc "$scratch/root/proc"
mount --rbind /dev "$scratch/root/dev"
exec chroot "$scratch/root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """The image, and a directory of this test's own; `staged` appears in it as /staged."""

    root: Path
    scratch: Path

    def __post_init__(self) -> None:
        for name in ("upper", "root", "staged"):
            (self.scratch / name).mkdir(exist_ok=True)

    def stage(self, files: Mapping[str, str]) -> None:
        """Put files below /staged, by their absolute paths."""
        for path, text in files.items():
            target = self.scratch / "staged" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def run(self, *command: str, net: bool = False, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `command` in the image; both outputs are in `stdout`. `net`: in a network namespace of its own."""
        words: Sequence[str] = ["unshare", "--mount", *(["--net"] if net else []), "--propagation", "private"]
        return subprocess.run(
            [*words, "sh", "-c", SCRIPT, "image", str(self.scratch), str(self.root), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )


def find() -> Path:
    """The image's root: TRIPOD_IMAGE, or the rehearsal's, which is built when it is not there."""
    if os.environ.get("TRIPOD_IMAGE"):
        return Path(os.environ["TRIPOD_IMAGE"])
    from rehearsal import image

    return image.ensure()
