"""The program between rsyslog and CloudWatch Logs, started by rsyslog's omprog.

rsyslog writes a line for each event, between the marks of a transaction, and waits for an answer to each line. A
transaction is confirmed when CloudWatch Logs has accepted all of it; until then rsyslog keeps it and reads no further.
Dots are no answer: they tell rsyslog that this program still works (rsyslog documentation, "omprog").
"""

from __future__ import annotations

import os
import sys
import syslog
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from .aws import connect
from .errors import StepError
from .identity import PATH, Identity
from .log_batch import Event, LineError
from .log_delivery import Delivery

BEGIN = "BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
OK = "OK"
DEFERRED = "DEFER_COMMIT"

# Seconds. rsyslog gives up on a silent program (confirmTimeout in its configuration), and an answer of more than 4096
# characters too: a dot so often lasts for half a day. What is longer starts this program again and loses nothing.
ALIVE_EVERY = 10.0


# What a service logged need not be UTF-8, and nothing but a newline ends a line.
TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}


IN_HAND = "in-hand"
"""File in the service's runtime directory; empty while nothing is on its way."""

STALLED = "stalled"
"""File beside it, while nothing can be delivered."""


class Writer(Protocol):
    """Where answers go."""

    def write(self, text: str, /) -> Any: ...
    def flush(self) -> Any: ...


class Hand:
    """The lines of the open transaction, in memory and in a file beside it.

    rsyslog sends the rest of a transaction to the successor of a program that died in it, not what that one had
    confirmed (rsyslog issue 2420). So the successor finds it here.
    """

    def __init__(self, file: Path) -> None:
        self._open = file.open("a+", **TEXT)
        self._open.seek(0)
        *self.lines, half = self._open.read().split("\n")
        if half:
            # Its writer was killed in it: rsyslog sends that line again.
            self._open.truncate(sum(len(f"{line}\n".encode(errors="surrogateescape")) for line in self.lines))

    def take(self, line: str) -> None:
        """One more line; it is in the file when this returns."""
        self.lines.append(line)
        self._open.write(line + "\n")
        self._open.flush()

    def empty(self) -> None:
        """Everything was delivered."""
        self.lines = []
        self._open.seek(0)
        self._open.truncate()


class Alive:
    """Sleeps, and tells rsyslog meanwhile that the answer will come."""

    def __init__(self, out: Writer, sleep: Any = time.sleep) -> None:
        self._out, self._sleep = out, sleep

    def wait(self, seconds: float) -> None:
        """Raises BrokenPipeError when rsyslog is gone."""
        while seconds > 0:
            self._out.write(".")
            self._out.flush()
            self._sleep(min(seconds, ALIVE_EVERY))
            seconds -= ALIVE_EVERY


def serve(lines: Iterable[str], out: Writer, hand: Hand, delivery: Delivery) -> None:
    """Answer every line of rsyslog until there are no more."""

    def answer(word: str) -> None:
        out.write(word + "\n")
        out.flush()

    answer(OK)
    for line in lines:
        text = line.rstrip("\n")
        if text == BEGIN:
            answer(OK)
        elif text == COMMIT:
            delivery.deliver(_events(hand.lines, delivery))
            hand.empty()
            answer(OK)
        else:
            hand.take(text)
            answer(DEFERRED)


def _events(lines: Iterable[str], delivery: Delivery) -> list[Event]:
    found = []
    for line in lines:
        try:
            found.append(Event.parse(line))
        except LineError as error:
            delivery.say(str(error))
    return found


def client(identity: Identity) -> Any:
    """A boto3 client that answers well within rsyslog's confirmTimeout; trying again is the delivery's work."""
    return connect("logs", identity.region, connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})


def main() -> int:
    """Serve rsyslog until it closes the pipe."""
    syslog.openlog("tripod-logs", 0, syslog.LOG_DAEMON)
    directory = Path(os.environ["RUNTIME_DIRECTORY"])
    try:
        identity = Identity.load(Path(PATH))
        alive = Alive(sys.stdout)
        connect, stalled = partial(client, identity), directory / STALLED
        delivery = Delivery(connect, identity.server, alive.wait, syslog.syslog, stalled)
        cast("Any", sys.stdin).reconfigure(**TEXT)
        serve(sys.stdin, sys.stdout, Hand(directory / IN_HAND), delivery)
    except BrokenPipeError:
        return 0
    except (StepError, OSError) as error:
        syslog.syslog(syslog.LOG_ERR, str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
