"""Watch a stack while something happens to it: a steady client outside, the sampler inside, one record of both."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.drills.record import Event, Record, Request, Tail, write_lines
from rehearsal.drills.sampler import Sampler
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.shell import RehearsalError, tool_environment

CLIENT_END = 20.0
WARM_UP = 2.0
TOLD = ("mysql", "tripod-group", "tripod-replica", "tripod-role-check", "tripod-floating-address", "keepalived")
"""Units whose journals are kept with the record: few lines, and what explains a verdict."""
KEYS = "SELECT `key` FROM app.entries"


@dataclass
class Watch:
    """A drill in progress. `mark` writes down what happens; `record` is there once it is over."""

    stack: Stack
    directory: Path
    events: list[Event] = field(default_factory=list)
    record: Record | None = None

    def __post_init__(self) -> None:
        self._requests = Tail(self.requests_file, Request)

    def mark(self, what: str) -> None:
        """Write down an event of this moment."""
        self.events.append(Event(time.monotonic(), what))

    @property
    def now(self) -> float:
        """This moment on the record's clock."""
        return time.monotonic()

    @property
    def requests_file(self) -> Path:
        """What the client wrote down so far."""
        return self.directory / "requests.jsonl"

    def requests(self) -> list[Request]:
        """What the client saw so far."""
        return self._requests.rows()

    def wait_for_writes(self, since: float, timeout: float) -> float:
        """Wait until a write that began after `since` was acknowledged; return when that was."""

        def acknowledged() -> float:
            return min(
                (row.end for row in self.requests() if row.kind == "write" and row.ok and row.start > since),
                default=0.0,
            )

        return wait_until("a write is acknowledged", acknowledged, timeout=timeout, details=self.stack.journals)

    def observe(self, seconds: float) -> None:
        """Let the client go on for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(0.1, max(0.0, deadline - time.monotonic())))


@contextmanager
def watching(
    stack: Stack,
    directory: Path,
    *,
    pace: float = 0.02,
    seconds: float = 1800,
    warm_up: float = WARM_UP,
    restored_within: float = 180,
    patience: float = 1.0,
) -> Iterator[Watch]:
    """Start client and sampler, hand over to the drill, then let everything calm down and collect the record.

    `patience` multiplies the client's timeouts, where only whether a request fails is asked and not how fast it is.
    Raises RehearsalError when the client does not get going, or does not end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    watch, since = Watch(stack, directory), time.time()
    process = _client(stack, watch.requests_file, pace, seconds, patience)
    try:
        with Sampler(stack, directory / "samples.jsonl") as sampler:
            wait_until(
                "the client is at work",
                lambda: process.poll() is not None or any(row.ok and row.kind == "write" for row in watch.requests()),
                timeout=30,
                details=stack.journals,
            )
            if process.poll() is not None:
                raise RehearsalError(f"the client ended with exit code {process.returncode} before anything happened")
            watch.observe(warm_up)
            yield watch
            restored = _restored(stack, restored_within)
            watch.mark("redundancy restored" if restored else "redundancy not restored")
            watch.observe(1)
            _end(process)
        _keep_journals(stack, directory, since)
        write_lines(directory / "events.jsonl", watch.events)
        keys, gtids = final_state(stack) if restored or stack.whole() else ({}, {})
        watch.record = Record(
            requests=tuple(sorted(watch.requests(), key=lambda row: row.start)),
            samples=tuple(sampler.samples),
            events=tuple(watch.events),
            final_keys=keys,
            final_gtids=gtids,
            redundancy_restored=restored,
        )
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _keep_journals(stack: Stack, directory: Path, since: float) -> None:
    """journal-SERVER.log of each server, from `since` (seconds of the epoch) on; of one that is off, why it is not."""
    units = [f"--unit={unit}" for unit in TOLD]
    for server in stack.topology.servers:
        try:
            words = ["journalctl", f"--since=@{since:.0f}", "--output=short-precise", "--no-pager", *units]
            text = stack.exec(server.name, *words).stdout
        except RehearsalError as error:
            text = f"{error}\n"
        (directory / f"journal-{server.name}.log").write_text(text)


def _client(stack: Stack, out: Path, pace: float, seconds: float, patience: float) -> subprocess.Popen[bytes]:
    urls = [word for address in stack.addresses() for word in ("--url", f"https://{address}")]
    if not urls:
        raise RehearsalError(f"stack {stack.name} has no public address that leads to a host")
    words = ["nsenter", f"--net=/run/netns/{stack.world}", "--", sys.executable, "-m", "rehearsal.drills.client"]
    name = stack.site_name()
    words += ["--name", name] if name else []
    words += [*urls, "--ca", stack.ca_file, "--seconds", str(seconds), "--pace", str(pace), "--out", str(out)]
    words += ["--patience", str(patience)]
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        env=tool_environment(),
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        code = process.wait(timeout=CLIENT_END)
    except subprocess.TimeoutExpired as error:
        raise RehearsalError(f"the client did not end within {CLIENT_END:g} s") from error
    if code:
        raise RehearsalError(f"the client ended with exit code {code}")


def _restored(stack: Stack, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    try:
        stack.wait_whole(timeout)
        stack.wait_healthy(max(1.0, deadline - time.monotonic()))
    except RehearsalError:
        return False
    return True


def final_state(stack: Stack, timeout: float = 60) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    """Keys of all entries and executed transactions of every copy of the data, once they agree or time is over."""
    deadline = time.monotonic() + timeout
    while True:
        gtids = {server: stack.member(server).gtid_executed for server in stack.copies}
        if len(set(gtids.values())) == 1 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    keys = {server: frozenset(str(row["key"]) for row in stack.query(server, KEYS)) for server in stack.copies}
    return keys, gtids
