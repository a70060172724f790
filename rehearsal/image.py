"""The root file system that every rehearsal host starts from: built once, kept by the content of its recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from rehearsal.distribution import Distribution, chosen
from rehearsal.image_settings import DISABLED_UNITS, FILES, MASKED_UNITS, finish
from rehearsal.mirror import acquire_options, mirror
from rehearsal.shell import RehearsalError, run, tool_environment

CACHE = Path("/var/cache/tripod-rehearsal")
BUILD_TIMEOUT = 1800.0

PACKAGES = (
    # what an AWS image of Ubuntu has by itself
    "systemd", "systemd-sysv", "dbus", "cloud-init", "iproute2", "iputils-ping", "e2fsprogs", "curl", "ca-certificates",
    "procps", "less", "jq", "openssl", "nftables", "zstd", "tzdata", "apparmor",
    # what user data would install there; hosts without a way out must find it in the image
    "haproxy", "mysql-server", "mysql-client", "keepalived", "prometheus", "prometheus-alertmanager",
    "prometheus-node-exporter", "prometheus-mysqld-exporter", "python3-boto3", "python3-pymysql", "python3-flask",
    "gunicorn", "rsyslog",
    # tools for drills
    "socat", "conntrack",
)  # fmt: skip

Progress = Callable[[str], None]


def quiet(_line: str) -> None:
    """Report progress to nobody."""


def key(distribution: Distribution | None = None) -> str:
    """Digest of everything that goes into the image but the mirror's state: 16 hexadecimal digits."""
    distribution = distribution or chosen()
    recipe = {
        "suite": distribution.suite,
        "components": distribution.components,
        "architecture": platform.machine(),
        "packages": sorted(PACKAGES),
        "files": FILES,
        "units": [sorted(DISABLED_UNITS), sorted(MASKED_UNITS)],
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def path(cache: Path = CACHE, distribution: Distribution | None = None) -> Path:
    """Where the image of the present recipe is, built or not."""
    return cache / f"image-{key(distribution)}"


def ensure(progress: Progress = quiet, cache: Path = CACHE, distribution: Distribution | None = None) -> Path:
    """Return the image's root directory, building it first when it is not there (about a minute; needs root).

    Without a `distribution` it is that of TRIPOD_DISTRIBUTION, or Debian.
    Safe to call from several processes: the first builds, the others wait for it.
    Raises RehearsalError with the end of the build's log.
    """
    distribution = distribution or chosen()
    image = path(cache, distribution)
    if image.is_dir():
        return image
    if os.geteuid() != 0:
        raise RehearsalError("building the rehearsal's image needs root")
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _lock(cache / "image.lock", progress):
        if image.is_dir():
            return image
        for abandoned in cache.glob("image-*.building"):  # a build that was killed; we hold the lock
            _remove(abandoned)
        building = image.with_name(f"{image.name}.building")
        try:
            with distribution.keys() as keys:
                _bootstrap(distribution, building, keys, cache / f"{image.name}.log", progress)
            progress("adjusting the image")
            finish(building)
            building.rename(image)
        except BaseException:
            _remove(building)
            raise
    progress(f"image ready: {image}")
    return image


def _bootstrap(distribution: Distribution, root: Path, keys: Path, log: Path, progress: Progress) -> None:
    if shutil.which("mmdebstrap", path=tool_environment()["PATH"]) is None:
        raise RehearsalError("mmdebstrap is not installed on this machine: apt-get install mmdebstrap")
    command = [
        # mmdebstrap mounts /proc, /sys and /dev into the tree: never where anything else could see them
        "unshare", "--mount", "--propagation", "private", "--",
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
        *(f"--aptopt={option}" for option in acquire_options()),
        "--dpkgopt=force-unsafe-io",  # the tree is thrown away when anything fails
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--components={','.join(distribution.components)}",
        f"--keyring={keys}",
        f"--include={','.join(PACKAGES)}",
        distribution.suite, str(root), *mirror(distribution),
    ]  # fmt: skip
    progress(f"building the image with mmdebstrap ({distribution.what}: {len(PACKAGES)} packages and what they need)")
    tail: deque[str] = deque(maxlen=25)
    deadline = time.monotonic() + BUILD_TIMEOUT
    with log.open("w") as record:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**tool_environment(), "DEBIAN_FRONTEND": "noninteractive"},
        )
        killer = _Deadline(process, deadline)
        try:
            for line in process.stdout or ():
                record.write(line)
                tail.append(line.rstrip())
                if line.startswith("I: "):
                    progress(line[3:].strip())
            code = process.wait()
        finally:
            killer.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if killer.fired:
        raise RehearsalError(f"the image was not built in {BUILD_TIMEOUT:.0f} s; the log is {log}\n" + "\n".join(tail))
    if code != 0:
        raise RehearsalError(f"mmdebstrap ended with exit code {code}; the log is {log}; its end:\n" + "\n".join(tail))


class _Deadline:
    """Ends a build (its whole session) that hangs without an output line."""

    def __init__(self, process: subprocess.Popen[str], deadline: float) -> None:
        self.fired = False
        self._process = process
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        self.fired = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def cancel(self) -> None:
        self._timer.cancel()


@contextlib.contextmanager
def _lock(file: Path, progress: Progress) -> Iterator[None]:
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building the image; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove(tree: Path) -> None:
    # --one-file-system: should anything be mounted below, its content is not ours to delete.
    run(["rm", "-rf", "--one-file-system", "--", str(tree)], timeout=300)
