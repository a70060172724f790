"""A throw-away mysqld: on a private socket in a directory of its own, without network, group or binary log."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql

from .backup_store import BackupError
from .database import Connection
from .gtid import GtidSet

DIRECTORY = Path("/var/lib/tripod/backup")
"""On the data volume, where mysqld's AppArmor profile lets it write (userdata/backup)."""

TEMPORARY = ("clone-", "drill-")
"""How the names of directories begin that are worth nothing when their job has ended."""

PROFILE = Path("/etc/apparmor.d/usr.sbin.mysqld")
# What of the volume a scratch directory leaves free.
FREE_FRACTION = 0.05

START_SECONDS = 600.0
STOP_SECONDS = 300.0

log = logging.getLogger("tripod-backup")


class Scratch:
    """One such mysqld on `directory`/data. Root of the operating system is root in it, as on every server.

    The directory is locked until it is removed or this program ends, however that comes.
    """

    def __init__(self, directory: Path, user: str = "mysql") -> None:
        self.directory = directory
        self.data = directory / "data"
        self.socket = directory / "mysqld.sock"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = os.open(directory, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def start(self) -> None:
        """Start and wait until it answers. BackupError with the end of its log when it does not."""
        log = self.directory / "mysqld.log"
        command = [
            "mysqld",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
            f"--pid-file={self.directory / 'mysqld.pid'}",
            f"--log-error={log}",
            "--skip-networking",
            "--mysqlx=OFF",
            "--skip-log-bin",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--server-id=1",
            "--skip-replica-start",
            "--relay-log=relay",
            "--event-scheduler=OFF",
            "--auto-generate-certs=OFF",
            "--caching-sha2-password-auto-generate-rsa-keys=OFF",
            "--sql-generate-invisible-primary-key=ON",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=134217728",
            "--innodb-redo-log-capacity=104857600",
            # Binary logs are replayed without a flush for each of their transactions. A copy whose mysqld crashed is
            # thrown away; `stop` writes all of it to the disk.
            "--innodb-flush-log-at-trx-commit=0",
            "--max-allowed-packet=1073741824",
            "--default-time-zone=+00:00",
        ]
        shutil.chown(self.directory, self._user, self._user)
        self._process = subprocess.Popen(command, user=self._user, group=self._user, extra_groups=[])
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect(5).close()
            except (pymysql.MySQLError, OSError) as error:
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                raise BackupError(f"mysqld does not start on the copy ({error}): {' | '.join(tail)}") from error
            return

    def connect(self, seconds: float) -> Connection:
        """A connection as root; `seconds` bounds each statement."""
        return Connection(seconds=seconds, socket=str(self.socket))

    def executed(self) -> GtidSet:
        """Every transaction that it holds."""
        with self.connect(30) as connection:
            return GtidSet.parse(connection.row("SELECT @@global.gtid_executed AS executed")["executed"])

    def stop(self) -> None:
        """End it in order, so that its files are complete.

        SIGTERM is a shutdown, in which InnoDB writes its buffer pool to the disk unless innodb_fast_shutdown is 2; it
        is 1 unless it is set (MySQL manual, "The Server Shutdown Process" and "innodb_fast_shutdown").
        """
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise BackupError(f"the throw-away mysqld did not end within {STOP_SECONDS:g} s") from error

    def remove(self) -> None:
        """End it and delete its directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)


def size(directory: Path, without: Collection[Path] = ()) -> int:
    """Bytes of all files below a directory; what goes away meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            try:
                total += 0 if path in without else path.lstat().st_size
            except FileNotFoundError:
                continue
    return total


def clone_size(data: Path) -> int:
    """Bytes that a clone of a running mysqld's data directory has, at most.

    CLONE copies what InnoDB stores (MySQL manual, "Clone Plugin Limitations"): neither binary logs, of which there may
    be more than of data, nor relay logs. Their index files name them; nothing else there is called *.index.
    """
    logs: set[Path] = set()
    for index in data.glob("*.index"):
        # Log by log, "./binlog.000001", or as the setting has it.
        with suppress(FileNotFoundError):
            logs |= {data / line for line in index.read_text(errors="replace").splitlines()}
    return size(data, logs)


def _room(parent: Path, needed: int) -> None:
    """BackupError when `needed` bytes would fill the volume, from which the running database lives."""
    disk = shutil.disk_usage(parent)
    left = disk.free - needed
    if left < disk.total * FREE_FRACTION:
        raise BackupError(
            f"{needed / 1e9:.2f} GB would leave {max(left, 0) / 1e9:.2f} GB of {disk.total / 1e9:.2f} GB free on the "
            f"volume of {parent}, where the database lives too; make room there or enlarge dataVolumeGib"
        )


def allow() -> None:
    """Where AppArmor confines mysqld (Ubuntu): load its profile again, with this stack's directory in it."""
    if Path("/sys/kernel/security/apparmor").is_dir() and PROFILE.exists():
        done = subprocess.run(["apparmor_parser", "-r", str(PROFILE)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BackupError(f"AppArmor's profile of mysqld cannot be loaded: {done.stderr.strip()}")


def make(name: str, needed: int, parent: Path = DIRECTORY) -> Scratch:
    """An empty scratch directory for `needed` bytes. BackupError when there is one of that name, or no room."""
    parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    _room(parent, needed)
    allow()
    shutil.chown(parent, "mysql", "mysql")
    directory = parent / name
    with _locked(parent):
        try:
            directory.mkdir(mode=0o750)
        except FileExistsError as error:
            raise BackupError(f"{directory} exists; remove it, or choose another name") from error
        shutil.chown(directory, "mysql", "mysql")
        return Scratch(directory)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Wait for the lock of `directory` and hold it (flock(2): the kernel lets it go when its holder ends)."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def tidy(parent: Path = DIRECTORY) -> None:
    """Remove the temporary directories of jobs that were killed, by a power cut for one: those that nobody has locked.

    What was restored by name stays, and so does what a running job has. One that cannot be removed is told.
    """
    if not parent.is_dir():
        return
    with _locked(parent):
        for directory in sorted(path for path in parent.iterdir() if path.name.startswith(TEMPORARY)):
            try:
                if _abandoned(directory):
                    shutil.rmtree(directory)
                    log.info("removed %s, left behind by a job that was killed", directory)
            except FileNotFoundError:
                continue  # its job ended at this moment
            except OSError as error:
                log.warning("%s was left behind by a job that was killed, and stays: %s", directory, error)


def _abandoned(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


Report = Callable[[str], None]
