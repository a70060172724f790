"""What `up` shows while it works: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from rehearsal.engine import Event, Step

MARKS = {Step.CREATE: "+", Step.UPDATE: "~", Step.REPLACE: "±", Step.DELETE: "-", Step.RETAIN: "·", Step.SAME: " "}
LONG = 0.5
"""Seconds after which work on a resource is worth a line of its own."""


class Display(Protocol):
    """Where progress goes. Methods may be called from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def phase(self, text: str) -> None:
        """Something larger begins."""

    def event(self, event: Event) -> None:
        """A resource begins or ends to change."""

    def say(self, line: str) -> None:
        """A line of the program or of a command that it runs."""


def short(token: str) -> str:
    """`aws:ec2/vpc:Vpc` as people say it: `aws.ec2.Vpc`."""
    package, module, name = token.split(":")
    folder = module.split("/")[0]
    return ".".join([package, *([] if folder == "index" else [folder]), name])


def tally(counts: Counter[Step]) -> str:
    """`12 created, 3 updated, 140 unchanged`."""
    names = {step: step.value for step in Step} | {Step.SAME: "unchanged"}
    return ", ".join(f"{counts[step]} {names[step]}" for step in Step if counts[step]) or "nothing to do"


class PlainDisplay:
    """One line per step, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _print(self, line: str) -> None:
        with self._lock:
            seconds = time.monotonic() - self._started
            self._console.print(f"{seconds:6.1f}s  {line}", markup=False, highlight=False, soft_wrap=True)

    def phase(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def event(self, event: Event) -> None:
        """Print it when it is done."""
        if event.done and event.step is not Step.SAME:
            self._print(f"  {MARKS[event.step]} {short(event.type)} {event.name}")

    def say(self, line: str) -> None:
        """Print it."""
        if line:
            self._print(f"    {line}")


class LiveDisplay:
    """A few lines that change in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._phase, self._since = "", time.monotonic()
        self._counts: Counter[Step] = Counter()
        self._busy: dict[tuple[str, str], float] = {}
        self._lines: deque[str] = deque(maxlen=8)
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish_phase(ok=kind is None)
        self._live.__exit__(kind, value, trace)

    def _finish_phase(self, *, ok: bool = True) -> None:
        with self._lock:
            if self._phase:
                mark = "[green]✔[/]" if ok else "[red]✘[/]"
                what = f" [dim]({tally(self._counts)})[/]" if self._counts else ""
                self._live.console.print(
                    f"{mark} {self._phase}{what} [dim]{time.monotonic() - self._since:.1f}s[/]", highlight=False
                )
            self._phase = ""

    def phase(self, text: str) -> None:
        """Tick off the one before and begin this one."""
        self._finish_phase()
        with self._lock:
            self._phase, self._since = text, time.monotonic()
            self._lines.clear()

    def event(self, event: Event) -> None:
        """Count it."""
        key = (event.type, event.name)
        with self._lock:
            if event.done:
                self._counts[event.step] += 1
                self._busy.pop(key, None)
            else:
                self._busy[key] = time.monotonic()

    def say(self, line: str) -> None:
        """Keep the last few."""
        if line.strip():
            with self._lock:
                self._lines.append(line)

    def _render(self) -> RenderableType:
        with self._lock:
            now = time.monotonic()
            self._spinner.update(text=Text(f"{self._phase}  {now - self._since:.0f}s"))
            parts: list[RenderableType] = [self._spinner] if self._phase else []
            if self._counts:
                parts.append(Text(f"  {tally(self._counts)}", style="dim"))
            slow = [(key, now - since) for key, since in self._busy.items() if now - since > LONG]
            for (kind, name), seconds in slow[:6]:
                parts.append(Text(f"  … {short(kind)} {name} {seconds:.0f}s", style="cyan", no_wrap=True))
            parts += [Text(f"    {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
            return Group(*parts)


def choose(console: Console | None = None) -> Display:
    """The live view on a terminal, plain lines elsewhere."""
    console = console or Console(file=sys.stderr)
    return LiveDisplay(console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay(console)
