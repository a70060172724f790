"""Where rsyslogd goes on reading the journal: back by what it had in memory, unless all of that was delivered.

rsyslogd remembers its place when it has read a line, not when the line was delivered. What is read again may be
delivered twice; nothing is left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import system
from .log_shipper import IN_HAND
from .swap import write
from .system import Run

# In the service's state directory. The first is rsyslogd's (imjournal's state file): a cursor of the journal, as text.
PLACE = "journal"
RUNNING = "running"

JOURNALCTL_SECONDS = 30.0


def start(state: Path, entries: int, run: Run) -> str | None:
    """Before rsyslogd starts: go back by `entries` of the journal if it did not end well; what was done, as text.

    Raises OSError or ValueError when that is not possible; rsyslogd then goes on where it was.
    """
    unfinished = (state / RUNNING).exists()
    (state / RUNNING).touch()
    place = state / PLACE
    if not unfinished or not place.exists():
        return None
    words = ["journalctl", "--quiet", "--no-pager", "--output=json", "--output-fields=__CURSOR", "--reverse"]
    result = run([*words, "--cursor", place.read_text().strip(), "--lines", str(entries)], timeout=JOURNALCTL_SECONDS)
    if not result.ok:
        raise OSError(f"the journal cannot be read: {result.last_line}")
    lines = result.output.splitlines()
    if not lines:
        return None
    write(place, str(json.loads(lines[-1])["__CURSOR"]), 0o600)
    return f"did not end well: reads the last {len(lines)} entries of the journal again"


def stop(state: Path, runtime: Path, result: str) -> None:
    """After rsyslogd: it ended well when it says so (`result` is systemd's) and the shipper has nothing in its hand."""
    in_hand = runtime / IN_HAND
    if result == "success" and not (in_hand.exists() and in_hand.stat().st_size):
        (state / RUNNING).unlink(missing_ok=True)


def main(arguments: Sequence[str], run: Run = system.run) -> int:
    """`start ENTRIES` or `stop`, in the environment that systemd gives its service."""
    state = Path(os.environ["STATE_DIRECTORY"])
    if arguments[0] == "stop":
        stop(state, Path(os.environ["RUNTIME_DIRECTORY"]), os.environ.get("SERVICE_RESULT", ""))
        return 0
    try:
        done = start(state, int(arguments[1]), run)
    except (OSError, ValueError, KeyError) as error:
        # A service that ships on from where it was is better than none.
        done = f"some lines may be missing: {error}"
    if done:
        print(done)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
