"""A run as a picture: SVG that stands in a page, or by itself as a file. Light and dark, no script, no font to load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from rehearsal.drills.outcome import Outcome
from rehearsal.drills.timeline import Bucket, Mark, Timeline

WIDTH, LEFT, RIGHT = 960.0, 66.0, 18.0
LINE = 15.0
"""Height of one row of event texts."""
TOP, RATE, LATENCY, LANE, LANE_GAP, GAP, AXIS = 10.0, 130.0, 84.0, 15.0, 6.0, 26.0, 26.0
CHARACTER = 6.1
"""Width of an average character of an event's text: what does not fit goes to the next row."""
FASTEST, SLOWEST = 0.003, 10.0
"""Latencies shown, in seconds, on a logarithmic scale."""
STATES = (
    ("writer", "primary, takes writes"),
    ("replica", "replica"),
    ("waiting", "not in a working group"),
    ("down", "down"),
)

STYLE = """
.plot { --ink:#1f2937; --soft:#64748b; --grid:#e2e8f0; --reads:#5b8def; --writes:#16a37a; --failed:#dc2f3c;
  --writer:#16a37a; --replica:#b9e0d2; --waiting:#f4b860; --down:#e9919a; --mark:#475569; --paper:#ffffff; }
@media (prefers-color-scheme: dark) { .plot { --ink:#e6edf5; --soft:#93a3b8; --grid:#2b3748; --reads:#7aa5ff;
  --writes:#34d0a0; --failed:#ff6b76; --writer:#22b58a; --replica:#24594b; --waiting:#b8802b; --down:#8f3a44;
  --mark:#b6c3d4; --paper:#131a24; } }
.plot text { font: 11.5px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--soft); }
.plot .label { fill: var(--ink); font-weight: 600; }
.plot .grid { stroke: var(--grid); stroke-width: 1; }
.plot .reads { fill: var(--reads); fill-opacity: .38; stroke: var(--reads); stroke-width: 1.2; }
.plot .writes { fill: var(--writes); fill-opacity: .6; stroke: var(--writes); stroke-width: 1.2; }
.plot .failed { fill: var(--failed); }
.plot .slow { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.plot .mark { stroke: var(--mark); stroke-width: 1; stroke-dasharray: 2 3; }
.plot .zero { stroke: var(--failed); stroke-width: 1.4; stroke-dasharray: none; }
.plot .event { fill: var(--ink); }
.plot .halo { fill: var(--paper); fill-opacity: .82; }
"""


def plot(outcome: Outcome, *, standalone: bool = False) -> str:
    """The SVG text of one run. ValueError for an outcome without a timeline."""
    if outcome.timeline is None:
        raise ValueError(f"{outcome.drill}: nothing was recorded")
    return "\n".join(Plot(outcome.drill, outcome.timeline).elements(standalone=standalone))


class Plot:
    """Where everything of one timeline stands. Lengths in SVG units, which are pixels at 100 %."""

    def __init__(self, name: str, line: Timeline) -> None:
        self.name = name
        self.line = line
        self.rows = _rows(line.marks, self.x)
        self.rate_top = TOP + LINE * (max((row for row, _ in self.rows), default=0) + 1) + 20
        self.rate_bottom = self.rate_top + RATE
        self.latency_top = self.rate_bottom + GAP
        self.latency_bottom = self.latency_top + LATENCY
        self.lanes_top = self.latency_bottom + GAP
        self.bottom = self.lanes_top + len(line.servers) * (LANE + LANE_GAP)
        self.height = self.bottom + AXIS + 24
        self.most = _round_up(max((_total(b) for b in line.buckets), default=1) / line.width)

    def x(self, at: float) -> float:
        """Where a moment stands."""
        share = (at - self.line.start) / (self.line.end - self.line.start or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def elements(self, *, standalone: bool) -> Iterator[str]:
        """Every element in painting order."""
        space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
        # The title is for those who hear the picture.
        yield f'<svg class="plot"{space} viewBox="0 0 {WIDTH:.0f} {self.height:.0f}" role="img">'
        yield f"<title>{escape(self.name)}: requests, latency and database roles over time</title>"
        if standalone:
            yield f"<style>{STYLE}</style>"
            yield f'<rect width="{WIDTH:.0f}" height="{self.height:.0f}" rx="8" style="fill: var(--paper)"/>'
        yield from self._axis()
        yield from self._rates()
        yield from self._latencies()
        yield from self._lanes()
        yield from self._marks()
        yield from self._legend()
        yield "</svg>"

    def _axis(self) -> Iterator[str]:
        step = _step(self.line.end - self.line.start)
        tick = math.ceil(self.line.start / step) * step
        while tick <= self.line.end:
            x = self.x(tick)
            yield _line("grid", x, self.rate_top, x, self.bottom)
            yield _text(x, self.bottom + 14, f"{tick:g} s", anchor="middle")
            tick += step

    def _rates(self) -> Iterator[str]:
        yield _text(LEFT, self.rate_top - 4, "requests per second", "label")
        for share in (0.0, 0.5, 1.0):
            y = self._rate_y(share * self.most)
            yield _line("grid", LEFT, y, WIDTH - RIGHT, y)
            yield _text(LEFT - 6, y + 4, f"{share * self.most:.0f}", anchor="end")
        width = self.line.width
        writes = [bucket.writes / width for bucket in self.line.buckets]
        both = [(bucket.writes + bucket.reads) / width for bucket in self.line.buckets]
        yield self._area("writes", [0.0] * len(writes), writes)
        yield self._area("reads", writes, both)
        for bucket, base in zip(self.line.buckets, both, strict=True):
            failed = (bucket.failed_reads + bucket.failed_writes) / width
            if failed:
                top, foot = self._rate_y(base + failed), self._rate_y(base)
                x, wide = self.x(bucket.at), max(1.5, self.x(bucket.at + width) - self.x(bucket.at) - 0.4)
                what = f"{bucket.failed_reads} reads and {bucket.failed_writes} writes failed at {bucket.at:.1f} s"
                shape = f'x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{foot - top:.1f}"'
                yield f'<rect class="failed" {shape}><title>{what}</title></rect>'

    def _rate_y(self, rate: float) -> float:
        return self.rate_bottom - min(1.0, rate / self.most) * RATE

    def _area(self, name: str, below: Sequence[float], above: Sequence[float]) -> str:
        middle = [self.x(bucket.at + self.line.width / 2) for bucket in self.line.buckets]
        up = [f"{x:.1f},{self._rate_y(rate):.1f}" for x, rate in zip(middle, above, strict=True)]
        down = [f"{x:.1f},{self._rate_y(rate):.1f}" for x, rate in zip(middle, below, strict=True)]
        return f'<polygon class="{name}" points="{" ".join([*up, *reversed(down)])}"/>'

    def _latencies(self) -> Iterator[str]:
        yield _text(LEFT, self.latency_top - 4, "latency, 95 of 100 requests faster", "label")
        for seconds, words in ((0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")):
            y = self._latency_y(seconds)
            yield _line("grid", LEFT, y, WIDTH - RIGHT, y)
            yield _text(LEFT - 6, y + 4, words, anchor="end")
        for name in ("reads", "writes"):
            yield from self._latency(name)

    def _latency(self, name: str) -> Iterator[str]:
        # A gap in the answers is a gap in the line.
        piece: list[str] = []
        for bucket in (*self.line.buckets, None):
            value = None if bucket is None else bucket.read_latency if name == "reads" else bucket.write_latency
            if bucket is not None and value is not None:
                piece.append(f"{self.x(bucket.at + self.line.width / 2):.1f},{self._latency_y(value):.1f}")
            elif piece:
                # A single point needs a length to be painted.
                points = piece if len(piece) > 1 else piece * 2
                yield f'<polyline class="slow" style="stroke: var(--{name})" points="{" ".join(points)}"/>'
                piece = []

    def _latency_y(self, seconds: float) -> float:
        within = min(SLOWEST, max(FASTEST, seconds))
        return self.latency_bottom - math.log(within / FASTEST) / math.log(SLOWEST / FASTEST) * LATENCY

    def _lanes(self) -> Iterator[str]:
        yield _text(LEFT, self.lanes_top - 5, "MySQL", "label")
        for index, (server, spans) in enumerate(self.line.servers.items()):
            y = self.lanes_top + index * (LANE + LANE_GAP)
            yield _text(LEFT - 6, y + LANE - 3, server, anchor="end")
            for span in spans:
                x = self.x(max(span.start, self.line.start))
                wide = max(0.8, self.x(min(span.end, self.line.end)) - x)
                shape = (
                    f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{LANE:.0f}" style="fill: var(--{span.state})"'
                )
                when = f"{span.start:.1f} to {span.end:.1f} s"
                yield f"<rect {shape}><title>{server}: {span.state}, {when}</title></rect>"

    def _marks(self) -> Iterator[str]:
        for mark, (row, to_the_left) in zip(self.line.marks, self.rows, strict=True):
            x, y = self.x(mark.at), TOP + LINE * (row + 1)
            yield _line("mark zero" if mark.at == 0 else "mark", x, y - 9, x, self.bottom)
            wide = CHARACTER * len(mark.what) + 6
            left = x - wide if to_the_left else x + 1
            shape = f'x="{left:.1f}" y="{y - 11:.1f}" width="{wide - 1:.1f}" height="{LINE - 1:.0f}"'
            yield f'<rect class="halo" {shape}/>'
            yield _text(x - 4 if to_the_left else x + 4, y, mark.what, "event", "end" if to_the_left else "start")

    def _legend(self) -> Iterator[str]:
        entries = [("writes", "writes"), ("reads", "reads"), ("failed", "failed"), *STATES]
        x, y = LEFT, self.bottom + AXIS + 12
        for colour, words in entries:
            yield f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="11" height="11" rx="2" style="fill: var(--{colour})"/>'
            yield _text(x + 16, y, words)
            x += 34 + CHARACTER * len(words)


def _rows(marks: Sequence[Mark], place: Callable[[float], float]) -> list[tuple[int, bool]]:
    """For each mark the row of its text, and whether the text stands to the left of its line."""
    ends: list[float] = []
    found = []
    for mark in marks:
        x, wide = place(mark.at), CHARACTER * len(mark.what) + 10
        left = x + wide > WIDTH
        begin, end = (x - wide, x) if left else (x, x + wide)
        row = next((index for index, last in enumerate(ends) if last <= begin), len(ends))
        ends[row:] = [end] if row == len(ends) else [end, *ends[row + 1 :]]
        found.append((row, left))
    return found


def _total(bucket: Bucket) -> int:
    return bucket.reads + bucket.writes + bucket.failed_reads + bucket.failed_writes


def _round_up(value: float) -> float:
    """The next value that reads well on an axis."""
    scale = 10 ** math.floor(math.log10(max(value, 1)))
    return next(float(step * scale) for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * scale >= value)


def _step(seconds: float) -> float:
    """Seconds between two ticks: about a dozen of them."""
    return next((step for step in (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0) if seconds / step <= 14), 120.0)


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, name: str = "", anchor: str = "start") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
