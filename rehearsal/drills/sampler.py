"""Looks at every database server twenty times a second, from inside, and writes down who takes writes."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pymysql
from pymysql.cursors import DictCursor

from rehearsal.drills.record import READ_REPLICA, Sample, write_lines
from rehearsal.drills.stack import MEMBER_QUERY, Stack, member_of
from rehearsal.shell import RehearsalError

INTERVAL = 0.05


class Sampler:
    """One thread a server. Use it as a context manager; what it saw is in `samples` afterwards, and in `out`."""

    def __init__(self, stack: Stack, out: Path) -> None:
        self.stack = stack
        self.out = out
        self.samples: list[Sample] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(name,), daemon=True) for name in stack.copies]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self.samples.sort(key=lambda sample: sample.at)
        write_lines(self.out, self.samples)

    def _watch(self, server: str) -> None:
        connection: pymysql.connections.Connection[DictCursor] | None = None
        due = time.monotonic()
        while not self._stopped.is_set():
            due = max(due + INTERVAL, time.monotonic())
            try:
                connection = connection or self.stack.connect(server)
                at = time.monotonic()
                with connection.cursor() as cursor:
                    cursor.execute(MEMBER_QUERY)
                    row = cursor.fetchone()
                member = member_of(server, row or {})
                sample = Sample(at=at, answered=True, **asdict(member))
                if server not in self.stack.databases:
                    sample = replace(sample, member_role=READ_REPLICA)
            except (RehearsalError, pymysql.MySQLError, OSError):
                # It is down, which is what a sample can say, too.
                sample, connection = Sample(at=time.monotonic(), server=server, answered=False), None
            with self._lock:
                self.samples.append(sample)
            self._stopped.wait(max(0.0, due - time.monotonic()))
