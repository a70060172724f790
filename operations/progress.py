"""Progress for people and for logs: one line per change, never a repeated one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Progress:
    """Says what each subject (a server, the group, the site) is at. `echo` gets whole lines without a newline."""

    echo: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _started: float = field(init=False)
    _standing: dict[str, tuple[str, float]] = field(init=False, default_factory=dict)
    _lock: Lock = field(init=False, default_factory=Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def report(self, subject: str, text: str) -> None:
        """Print what `subject` is at, if that is news."""
        with self._lock:
            now = self.clock()
            if subject in self._standing and self._standing[subject][0] == text:
                return
            self._standing[subject] = (text, now)
            self.echo(f"{now - self._started:6.1f} s  {subject}: {text}")

    def standing(self, subject: str) -> tuple[str, float] | None:
        """What `subject` was last said to be at, and for how many seconds; None when nothing was said of it."""
        with self._lock:
            if subject not in self._standing:
                return None
            text, since = self._standing[subject]
            return text, self.clock() - since
