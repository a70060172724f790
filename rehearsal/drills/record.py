"""What a drill records: requests as a client saw them, samples of the databases, events. JSON lines on disk.

Times are seconds of CLOCK_MONOTONIC, which is one clock for all processes of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

Kind = Literal["read", "write"]
READ_REPLICA = "READ_REPLICA"


@dataclass(frozen=True)
class Request:
    """One request over HTTPS. `status` 0: no answer, `error` says why. `key` of a write is its entry's."""

    kind: Kind
    start: float
    end: float
    status: int
    key: str = ""
    error: str = ""
    served_by: str = ""
    database: str = ""
    """Server that wrote or read."""
    retry_after: str = ""
    """The header of that name, as it came."""

    @property
    def ok(self) -> bool:
        """Whether the client got what it asked for: a read answered 200, a write acknowledged."""
        return self.status in (200, 201)


@dataclass(frozen=True)
class Sample:
    """One database server at one moment. `answered` False: its mysqld did not answer."""

    at: float
    server: str
    answered: bool
    super_read_only: bool = True
    member_state: str = ""
    member_role: str = ""
    """PRIMARY, SECONDARY, empty outside a group, READ_REPLICA for a server that is not meant to be in one."""
    members: int = 0
    online: int = 0
    gtid_executed: str = ""


@dataclass(frozen=True)
class Event:
    """Something the drill did or saw."""

    at: float
    what: str


@dataclass(frozen=True)
class Record:
    """Everything that was recorded of one run, in the order of time."""

    requests: tuple[Request, ...] = ()
    samples: tuple[Sample, ...] = ()
    events: tuple[Event, ...] = ()
    final_keys: dict[str, frozenset[str]] = field(default_factory=dict)
    """Keys of all entries on each member and read replica when everything was quiet again."""
    final_gtids: dict[str, str] = field(default_factory=dict)
    """`gtid_executed` of each of them at that time."""
    redundancy_restored: bool = False
    """Whether every member came back ONLINE without anyone's help."""


def write_lines(path: Path, rows: Iterable[Request | Sample | Event]) -> None:
    """Append rows as JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row)) + "\n")


Row = TypeVar("Row", Request, Sample, Event)


class Tail(Generic[Row]):
    """Rows of a file that is still being written: `rows` reads what is new and returns all that there are so far."""

    def __init__(self, path: Path, kind: type[Row]) -> None:
        self._path = path
        self._kind: type[Row] = kind
        self._at = 0
        self._rows: list[Row] = []

    def rows(self) -> list[Row]:
        """In the order in which they were written; the caller may keep the list."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                # A line that is not whole yet is for the next time.
                whole, newline, _ = file.read().rpartition(b"\n")
            self._at += len(whole) + len(newline)
            self._rows += [self._kind(**json.loads(line)) for line in whole.splitlines()]
        return list(self._rows)
