"""A steady client of the site: reads and writes at a fixed pace, each request timed and written down.

It runs as a process of its own inside the stack's world namespace (python -m rehearsal.drills.client), sends to the
stack's public addresses only, and ends by itself after --seconds.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from rehearsal.drills.dial import dial
from rehearsal.drills.record import Kind, Request, write_lines

LONGEST = 3600.0
READ_TIMEOUT = (0.5, 3.5)
"""Seconds to connect, and to wait for an answer: just above the application's own limit for a read."""
WRITE_TIMEOUT = (0.5, 7.0)
FLUSH = 0.5


@dataclass(frozen=True)
class Plan:
    """`writers` threads that each post every `pace` x `writers` seconds, readers likewise."""

    urls: tuple[str, ...]
    ca_file: str
    seconds: float
    pace: float
    writers: int
    readers: int
    name: str | None = None
    """What the certificate must be for, where it does not carry the addresses."""
    patience: float = 1.0
    """Factor of all timeouts."""


class PromptConnection(HTTPSConnection):
    """Connects by `dial`, with urllib3's socket options (TCP_NODELAY)."""

    def _new_conn(self) -> socket.socket:
        try:
            connected = dial(self.host, self.port, float(self.timeout or 0))
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        for option in self.socket_options or ():
            connected.setsockopt(*option)
        return connected


class PromptPool(HTTPSConnectionPool):
    """Connections of that kind."""

    ConnectionCls = PromptConnection


class Adapter(HTTPAdapter):
    """Connects promptly; to an address, and wants the certificate of a name if one is given, as after a look-up."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        if self._name:
            named |= {"server_hostname": self._name, "assert_hostname": self._name}
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"https": PromptPool}


class Client:
    """Threads that keep a pace, whatever the site answers. A write is repeated with its key until acknowledged."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.end = time.monotonic() + min(plan.seconds, LONGEST)
        self.stopped = threading.Event()

    def run(self, out: Path) -> None:
        """Send until the time is over or standard input ends, and write rows to `out` as they come."""
        threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(self.plan.writers)]
        threads += [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(self.plan.readers)]
        threading.Thread(target=self._watch_input, daemon=True).start()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self._flush(out)
            self.stopped.wait(FLUSH) if not self.stopped.is_set() else time.sleep(0.05)
        self._flush(out)

    def _watch_input(self) -> None:
        sys.stdin.read()
        self.stopped.set()

    def _flush(self, out: Path) -> None:
        rows = []
        while not self.rows.empty():
            rows.append(self.rows.get())
        write_lines(out, rows)

    def _going(self) -> bool:
        return not self.stopped.is_set() and time.monotonic() < self.end

    def _write(self, number: int) -> None:
        pace, due = self.plan.pace * self.plan.writers, time.monotonic() + self.plan.pace * number
        key = ""
        while self._going():
            self._sleep_until(due)
            key = key or f"drill-{uuid.uuid4().hex}"
            body = {"text": f"written by writer {number}", "key": key}
            row = self._send("write", "POST", "/api/entries", key, body, WRITE_TIMEOUT)
            if row.ok:
                key = ""
            due = max(due + pace, time.monotonic())

    def _read(self, number: int) -> None:
        pace, due = self.plan.pace * self.plan.readers, time.monotonic() + self.plan.pace * number
        while self._going():
            self._sleep_until(due)
            self._send("read", "GET", "/api/entries?limit=1", "", None, READ_TIMEOUT)
            due = max(due + pace, time.monotonic())

    def _sleep_until(self, due: float) -> None:
        delay = due - time.monotonic()
        if delay > 0:
            self.stopped.wait(delay)

    def _send(
        self, kind: Kind, method: str, path: str, key: str, body: dict[str, str] | None, timeout: tuple[float, float]
    ) -> Request:
        """One request on a connection of its own, so that a lost load balancer cannot keep it waiting."""
        url = self.plan.urls[int(time.monotonic() * 1000) % len(self.plan.urls)]
        patient = (timeout[0] * self.plan.patience, timeout[1] * self.plan.patience)
        start = time.monotonic()
        status, error, retry_after = 0, "", ""
        answer: dict[str, Any] = {}
        try:
            with requests.Session() as session:
                session.mount("https://", Adapter(self.plan.name))
                response = session.request(
                    method, url + path, json=body, timeout=patient, verify=self.plan.ca_file, allow_redirects=False
                )
            status, retry_after = response.status_code, response.headers.get("retry-after", "")
            answer = response.json() if "json" in response.headers.get("content-type", "") else {}
            if "error" in answer:
                error = str(answer["error"].get("code", ""))
        except requests.RequestException as failure:
            error = reason(failure)
        row = Request(
            kind=kind,
            start=start,
            end=time.monotonic(),
            status=status,
            key=key,
            error=error,
            served_by=str(answer.get("served_by", "")),
            database=str(answer.get("written_by" if kind == "write" else "read_from", "")),
            retry_after=retry_after,
        )
        self.rows.put(row)
        return row


def reason(failure: BaseException) -> str:
    """What kind of failure it was, and what the innermost of the exceptions behind it says."""
    innermost = failure
    while innermost.__context__:
        innermost = innermost.__context__
    return f"{type(failure).__name__}: {innermost}"


@click.command()
@click.option("--url", "urls", multiple=True, required=True, help="Address of the site, such as https://203.0.113.10.")
@click.option("--name", default=None, help="Name that the certificate must carry. Default: the address asked.")
@click.option("--ca", "ca_file", required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--seconds", default=60.0, help="End after so long.")
@click.option("--pace", default=0.02, help="Seconds between two writes, and between two reads.")
@click.option("--patience", default=1.0, help="Factor of how long to wait for a connection and for an answer.")
@click.option("--writers", default=8)
@click.option("--readers", default=4)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(
    urls: tuple[str, ...],
    name: str | None,
    ca_file: str,
    seconds: float,
    pace: float,
    patience: float,
    writers: int,
    readers: int,
    out: Path,
) -> None:
    """Read from and write to a site at a steady pace until the time is over or standard input ends."""
    Client(Plan(urls, ca_file, seconds, pace, writers, readers, name, patience)).run(out)


if __name__ == "__main__":
    main()
