"""Binary logs: what one file holds, read from the text that MySQL's own mysqlbinlog prints.

A file may have a gigabyte and millions of transactions, and a statement may be one line of any length: none of it is
ever whole in memory.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .backup_store import BackupError, Stored
from .gtid import Gathering, GtidSet

# What is read below is in the first characters of its line. A set of GTIDs is not, but does not get near this.
LINE_CHARACTERS = 1 << 20

# The header of a GTID event, then its GTID. Text of a statement cannot begin with "#YYMMDD" and hold all of it.
_EVENT = re.compile(r"^#\d{6} +\d?\d:\d\d:\d\d server id \d+ +end_log_pos \d+[^\t]*\t(?P<kind>\w[\w-]*)")
_TIME = re.compile(r"original_committed_timestamp=(\d+)\s+immediate_commit_timestamp=(\d+)")
_NEXT = re.compile(r"^SET @@SESSION\.GTID_NEXT= '([0-9a-fA-F:\w-]+)'/\*!\*/;$")


@dataclass(frozen=True)
class Transaction:
    """One transaction: its GTID, and when it was committed where it was written (microseconds since 1970)."""

    gtid: str
    at: int


Take = Callable[[Transaction], None]


@dataclass(frozen=True)
class Content:
    """What a file holds: every GTID that came before it, its own, and their earliest and latest commit.

    `first` and `last` are microseconds since 1970, and 0 in a file without transactions.
    """

    previous: GtidSet
    gtids: GtidSet
    first: int
    last: int


@dataclass(frozen=True)
class ShippedLog:
    """A binary log in the bucket. `first` and `last` are the earliest and latest commit in microseconds since 1970."""

    server: str
    uuid: str
    name: str
    previous: GtidSet
    gtids: GtidSet
    first: int
    last: int
    stored: Stored

    def to_json(self) -> dict[str, Any]:
        """Its index object."""
        return {
            "server": self.server,
            "server_uuid": self.uuid,
            "name": self.name,
            "previous_gtids": str(self.previous),
            "gtids": str(self.gtids),
            "first": self.first,
            "last": self.last,
            "object": self.stored.to_json(),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ShippedLog:
        """The reverse of to_json. KeyError or ValueError when it is damaged."""
        previous, gtids = GtidSet.parse(raw["previous_gtids"]), GtidSet.parse(raw["gtids"])
        times = int(raw["first"]), int(raw["last"])
        stored = Stored.from_json(raw["object"])
        return cls(raw["server"], raw["server_uuid"], raw["name"], previous, gtids, *times, stored)


def parse(lines: Iterable[str], take: Take) -> GtidSet:
    """Read mysqlbinlog's text and `take` each transaction; every GTID that came before the file."""
    previous: list[str] = []
    reading_previous, at = False, 0
    for line in lines:
        event = _EVENT.match(line)
        if event:
            reading_previous = event["kind"] == "Previous-GTIDs"
            times = _TIME.search(line)
            # A change of the group's view has no original time.
            at = (int(times[1]) or int(times[2])) if times and event["kind"] in ("GTID", "Gtid_tagged") else 0
        elif reading_previous and line.startswith("# ") and not line.startswith("# at "):
            if "[empty]" not in line:
                previous.append(line[2:].strip().rstrip(","))
        else:
            reading_previous = False
            following = _NEXT.match(line.rstrip("\n"))
            if following and at:
                take(Transaction(following[1].lower(), at))
                at = 0
    return GtidSet.parse(",".join(previous))


def lines(stream: IO[str]) -> Iterator[str]:
    """The lines of a text, of a very long one only the beginning; all of a comment, which may be a set of GTIDs."""
    while line := stream.readline(LINE_CHARACTERS):
        piece = line
        while len(piece) == LINE_CHARACTERS and not piece.endswith("\n"):
            piece = stream.readline(LINE_CHARACTERS)
            if line.startswith("# "):
                line += piece
        yield line


def read(path: Path) -> Content:
    """What a binary log file holds. Raises what `scan` raises."""
    gtids, first, last = Gathering(), 0, 0

    def take(transaction: Transaction) -> None:
        nonlocal first, last
        gtids.add(transaction.gtid)
        first, last = min(first or transaction.at, transaction.at), max(last, transaction.at)

    previous = scan(path, take)
    return Content(previous, gtids.whole(), first, last)


def scan(path: Path, take: Take) -> GtidSet:
    """`take` each transaction of a file, in its order; every GTID that came before it.

    BackupError when mysqlbinlog cannot read the file to its end; what was read until then has been taken.
    """
    command = ["mysqlbinlog", "--no-defaults", "--base64-output=DECODE-ROWS", "--verify-binlog-checksum", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  both are pipes
        previous = parse(lines(process.stdout), take)
        complaint = process.stderr.read().strip()
    if process.returncode != 0:
        raise BackupError(f"mysqlbinlog cannot read {path.name}: {complaint or process.returncode}")
    return previous
