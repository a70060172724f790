"""Where rsyslogd goes on reading: back by what it had in memory, unless it ended well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from userdata.host import log_cursor
from userdata.host.log_cursor import PLACE, RUNNING, start, stop
from userdata.host.log_shipper import IN_HAND
from userdata.host.system import Result


class Journal:
    """A journal of `length` entries whose cursors are numbers."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], *, timeout: float = 0, env: Mapping[str, str] | None = None) -> Result:
        self.commands.append(list(command))
        words = dict(pairwise(command))
        here = int(words["--cursor"].removeprefix("s="))
        if here > self.length:
            return Result(1, "Failed to seek to cursor: Invalid argument")
        back = range(here, max(0, here - int(words["--lines"])), -1)
        return Result(0, "\n".join(json.dumps({"__CURSOR": f"s={number}", "__SEQNUM": number}) for number in back))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / PLACE).write_text("s=500")
    return tmp_path


def place(state: Path) -> str:
    return (state / PLACE).read_text()


def test_the_first_start_has_no_place(tmp_path: Path) -> None:
    journal = Journal(10)
    assert start(tmp_path, 100, journal) is None
    assert journal.commands == []
    assert (tmp_path / RUNNING).exists()


def test_after_a_good_end_it_goes_on_where_it_was(state: Path) -> None:
    start(state, 100, Journal(500))
    (state / IN_HAND).touch()
    stop(state, state, "success")
    assert start(state, 100, Journal(500)) is None
    assert place(state) == "s=500"


@pytest.mark.parametrize("result", ["signal", "exit-code", "oom-kill", ""])
def test_after_a_bad_end_it_goes_back(state: Path, result: str) -> None:
    start(state, 100, Journal(500))
    stop(state, state, result)
    assert start(state, 100, Journal(500)) == "did not end well: reads the last 100 entries of the journal again"
    assert place(state) == "s=401"


def test_after_no_end_at_all_it_goes_back(state: Path) -> None:
    start(state, 100, Journal(500))
    start(state, 100, Journal(500))
    assert place(state) == "s=401"


def test_lines_in_the_shippers_hand_are_no_good_end(state: Path) -> None:
    start(state, 100, Journal(500))
    (state / IN_HAND).write_text("a line\n")
    stop(state, state, "success")
    start(state, 100, Journal(500))
    assert place(state) == "s=401"


def test_a_short_journal_is_read_from_its_beginning(state: Path) -> None:
    start(state, 3000, Journal(500))
    start(state, 3000, Journal(500))
    assert place(state) == "s=1"


def test_a_journal_that_cannot_be_read_is_no_reason_to_ship_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(state))
    assert log_cursor.main(["start", "100"], Journal(5)) == 0
    assert log_cursor.main(["start", "100"], Journal(5)) == 0
    assert "some lines may be missing: the journal cannot be read: Failed to seek" in capsys.readouterr().out
    assert place(state) == "s=500"
    monkeypatch.setenv("SERVICE_RESULT", "success")
    assert log_cursor.main(["stop"]) == 0
    assert not (state / RUNNING).exists()
