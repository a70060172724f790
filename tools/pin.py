"""Pin requirements.in and requirements-dev.in with hashes: `make requirements`.

pip-compile keeps the pins that still fit; `make requirements UPGRADE=--upgrade` takes the newest.
"""

from __future__ import annotations

import subprocess
import sys

OPTIONS = (
    "--quiet",
    "--generate-hashes",
    # pip and setuptools are dependencies of pip-tools: with hashes, everything must be pinned.
    "--allow-unsafe",
    "--strip-extras",
    # Where packages come from is the machine's business, not the project's.
    "--no-emit-index-url",
    "--no-emit-trusted-host",
    "--no-emit-find-links",
)


def main(arguments: list[str]) -> None:
    """Compile both files; the second one takes its common pins from the first."""
    for name in ("requirements", "requirements-dev"):
        command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *arguments]
        subprocess.run([*command, f"--output-file={name}.txt", f"{name}.in"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
