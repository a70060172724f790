"""What the daemons that look after this server's mysqld share: their pace, their connection and their state file."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pymysql

from . import accounts
from .database import Connection

INTERVAL = 1.0
# A step that failed is tried again after 1, 2, 4, 8 and then every 10 seconds.
BACKOFF_MAX = 10.0

CERTIFICATES = Path("/etc/mysql/tls")

LocalError = (pymysql.MySQLError, OSError, ValueError)

T = TypeVar("T")


class LocalMysqld:
    """One connection to this server's mysqld, made anew after it was lost."""

    def __init__(self, log: logging.Logger) -> None:
        self.connection: Connection | None = None
        self._log = log
        self._ready = False
        self._lost = ""
        self._certificates: object = None

    def look(self, observe: Callable[[Connection], T], idle: Callable[[T], bool]) -> T | None:
        """What `observe` sees, or None when mysqld does not answer.

        On a new connection the accounts that are not replicated are seen to first, if the server is `idle`.
        """
        try:
            if self.connection is None:
                self.connection, self._ready = Connection(), False
            seen = observe(self.connection)
            if not self._ready and idle(seen):
                for line in accounts.ensure_local(self.connection):
                    self._log.info("%s", line)
            self._ready = True
        except LocalError as error:
            if self.connection:
                self.connection.close()
            if message(error) != self._lost:
                self._log.info("mysqld does not answer: %s", message(error))
            self._lost, self.connection = message(error), None
            return None
        return seen

    def read_renewed_certificates(self) -> None:
        """Let mysqld read its certificates again when they were renewed.

        At first always: one apply may have renewed them and started this program anew. It costs mysqld nothing, and
        is in no binary log.
        """
        certificates = changed(CERTIFICATES)
        if certificates and certificates != self._certificates and self.connection:
            self.connection.run("ALTER INSTANCE RELOAD TLS")
            self._log.info("mysqld reads its certificates again")
            self._certificates = certificates


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row, the first included."""
    return min(BACKOFF_MAX, 2.0 ** (failures - 1))


def serve(step: Callable[[], float]) -> None:
    """Step for ever, each time after as many seconds as the step before said; SIGTERM ends the process."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        stop.wait(step())


def write(path: Path, content: dict[str, object]) -> None:
    """Write a state file, durably and at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(content, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(0o644)
    new.replace(path)


def changed(path: Path) -> tuple[object, ...]:
    """Changes when a file, or a file of a folder, does."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_ino) for file in files)


def message(error: BaseException) -> str:
    """An error without the connection's noise: MySQL's own text where there is one."""
    return str(error.args[1]) if isinstance(error, pymysql.MySQLError) and len(error.args) > 1 else str(error)
