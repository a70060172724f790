"""keepalived's state, read from its notify FIFO: in order, without a process per event, and its end is seen too.

A line is `INSTANCE "floating_address" MASTER 240` (keepalived.conf(5), "notify fifo"). keepalived holds the FIFO open
for reading and writing: what it says while nobody reads waits in the pipe, and end of file means that it is gone.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .floating_address_decision import Vrrp

# A reload closes the FIFO for some milliseconds; a peer takes over from a keepalived that is gone after 0.65 s.
CLOSED_SECONDS = 0.3
ASK_SECONDS = 1.0

_STATES = {
    "MASTER": Vrrp.MASTER,
    "MASTER_PRIORITY": Vrrp.MASTER,
    "MASTER_RX_LOWER_PRI": Vrrp.MASTER,
    "BACKUP": Vrrp.BACKUP,
    "BACKUP_PRIORITY": Vrrp.BACKUP,
    "FAULT": Vrrp.FAULT,
    "STOP": Vrrp.STOPPED,
    "DELETED": Vrrp.STOPPED,
}


def parse(lines: Iterable[str], instance: str) -> Iterator[tuple[str, Vrrp]]:
    """The events of one VRRP instance: keepalived's word for it and the state it means. Others are passed over."""
    for line in lines:
        words = line.split()
        if len(words) >= 3 and words[0] == "INSTANCE" and words[1].strip('"') == instance and words[2] in _STATES:
            yield words[2], _STATES[words[2]]


class Notifications:
    """The reading end of the FIFO. `state` is the last that was said, `doubtful` whether to ask again (Holder.ask).

    A transition is always true. A reported priority, which is the answer to a question, is believed where nothing is
    known, but must be repeated where it contradicts: in the middle of a reload a master calls itself backup for a
    moment. A reload also closes the FIFO and opens it again, without a word about the state.
    """

    def __init__(self, path: Path, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises OSError when there is no FIFO at `path` (systemd-tmpfiles makes it)."""
        self._path = path
        self._instance = instance
        self._clock = clock
        self._rest = ""
        self._descriptor = self._open()
        self._closed_since: float | None = None
        self._contradicted: float | None = None
        self.state = Vrrp.UNKNOWN
        self.doubtful = True

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def patience(self) -> float:
        """Seconds until `read` should be called again although nothing was said."""
        if self._closed_since is not None and self.state is not Vrrp.STOPPED:
            return CLOSED_SECONDS / 3
        return ASK_SECONDS if self.doubtful else float("inf")

    def read(self) -> list[str]:
        """Bring `state` up to date; keepalived's words since the last call, oldest first."""
        words: list[str] = []
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                self._closed_since = None
                return words
            if not data:
                self._closed()
                return words
            *lines, self._rest = (self._rest + data.decode(errors="replace")).split("\n")
            for word, state in parse(lines, self._instance):
                self._take(word, state)
                words.append(word)

    def _take(self, word: str, state: Vrrp) -> None:
        now = self._clock()
        if not word.endswith("_PRIORITY") or state is self.state:
            self.state, self.doubtful, self._contradicted = state, False, None
        elif self.state in (Vrrp.UNKNOWN, Vrrp.STOPPED):
            self.state, self.doubtful = state, True
        elif self._contradicted is None:
            self._contradicted, self.doubtful = now, True
        elif now - self._contradicted >= ASK_SECONDS / 2:
            self.state, self._contradicted = state, None

    def _closed(self) -> None:
        now = self._clock()
        if self._closed_since is None:
            self._closed_since = now
        self.doubtful = True
        if now - self._closed_since >= CLOSED_SECONDS:
            self.state = Vrrp.STOPPED
        self._rest = ""
        # A FIFO whose writer has left reports that for ever; a fresh one waits for the next writer.
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh

    def wait(self, seconds: float) -> None:
        """Return when there is something to read, or after `seconds`."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll(max(0, round(seconds * 1000)))

    def close(self) -> None:
        """Close the reading end."""
        os.close(self._descriptor)


class Holder:
    """The file that keepalived adds to its priority (track_file), written in place so that inotify sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """The number in the file; 0 when there is none."""
        try:
            return int(self._path.read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def write(self, value: int) -> None:
        """Write `value` unless it is there already."""
        if self.read() != value:
            self._path.write_text(f"{value}\n")

    def ask(self) -> None:
        """Make keepalived say its state: a priority that changes by one is reported to the FIFO.

        The daemon does so once, when it starts: what was said to the one before it is lost.
        """
        value = self.read()
        self.write(value - 1 if value % 2 else value + 1)
