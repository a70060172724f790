"""The program that rsyslog starts: its answers, and what is left when it dies."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from userdata.host.log_batch import Event
from userdata.host.log_shipper import ALIVE_EVERY, BEGIN, COMMIT, Alive, Hand, serve


def line(message: str) -> str:
    return json.dumps({"group": "g", "time": "2026-11-24T10:00:00Z", "message": message})


class Accepting:
    """Stands for the delivery; raises `fault` instead of accepting."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.accepted: list[list[str]] = []
        self.said: list[str] = []

    def deliver(self, events: Iterable[Event]) -> None:
        if self.fault:
            raise self.fault
        self.accepted.append([event.message for event in events])

    def say(self, text: str) -> None:
        self.said.append(text)


def run(hand: Hand, delivery: Any, *lines: str) -> list[str]:
    out = io.StringIO()
    try:
        serve((f"{text}\n" for text in lines), out, hand, delivery)
    finally:
        answers = out.getvalue().splitlines()
    return answers


def test_a_transaction_is_confirmed_when_it_was_accepted(tmp_path: Path) -> None:
    delivery = Accepting()
    answers = run(Hand(tmp_path / "hand"), delivery, BEGIN, line("a"), line("b"), COMMIT, BEGIN, line("c"), COMMIT)
    assert answers == ["OK", "OK", "DEFER_COMMIT", "DEFER_COMMIT", "OK", "OK", "DEFER_COMMIT", "OK"]
    assert delivery.accepted == [["a", "b"], ["c"]]
    assert (tmp_path / "hand").read_text() == ""


def test_it_is_not_confirmed_before(tmp_path: Path) -> None:
    out = io.StringIO()
    seen: list[str] = []

    class Looking(Accepting):
        def deliver(self, events: Iterable[Event]) -> None:
            super().deliver(events)
            seen.append(out.getvalue())

    serve([f"{text}\n" for text in (BEGIN, line("a"), COMMIT)], out, Hand(tmp_path / "hand"), Looking())  # type: ignore[arg-type]
    assert seen == ["OK\nOK\nDEFER_COMMIT\n"]
    assert out.getvalue() == seen[0] + "OK\n"


def test_a_successor_delivers_what_the_dead_one_had_confirmed(tmp_path: Path) -> None:
    # It died after two answers; rsyslog goes on with the third line of the transaction.
    run(Hand(tmp_path / "hand"), Accepting(), BEGIN, line("a"), line("b"))
    delivery = Accepting()
    run(Hand(tmp_path / "hand"), delivery, BEGIN, line("c"), COMMIT, BEGIN, line("d"), COMMIT)
    assert delivery.accepted == [["a", "b", "c"], ["d"]]


def test_a_successor_of_one_that_died_while_it_delivered(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError):
        run(Hand(tmp_path / "hand"), Accepting(BrokenPipeError()), BEGIN, line("a"), COMMIT)
    delivery = Accepting()
    run(Hand(tmp_path / "hand"), delivery, BEGIN, line("a"), COMMIT)
    assert delivery.accepted == [["a", "a"]], "at least once"


def test_half_a_line_of_the_dead_one_is_left_to_rsyslog(tmp_path: Path) -> None:
    (tmp_path / "hand").write_text(line("a") + "\n" + line("b")[:20])
    delivery = Accepting()
    run(Hand(tmp_path / "hand"), delivery, BEGIN, line("b"), COMMIT)
    assert delivery.accepted == [["a", "b"]]
    assert delivery.said == []


def test_the_hand_keeps_a_line_whole_whatever_is_in_it(tmp_path: Path) -> None:
    # U+2028 ends a line for Python; a byte that is no UTF-8 comes as half a surrogate.
    odd = '{"group":"g","time":"2026-11-24T10:00:00Z","message":"a\u2028b\x85\udcff"}'
    Hand(tmp_path / "hand").take(odd)
    assert Hand(tmp_path / "hand").lines == [odd]


def test_what_is_no_event_is_spoken_of_and_passed_over(tmp_path: Path) -> None:
    delivery = Accepting()
    assert run(Hand(tmp_path / "hand"), delivery, BEGIN, "nonsense", line("a"), COMMIT)[-1] == "OK"
    assert delivery.accepted == [["a"]]
    assert len(delivery.said) == 1


def test_a_long_wait_shows_life_to_rsyslog() -> None:
    out, slept = io.StringIO(), []
    Alive(out, slept.append).wait(2.5 * ALIVE_EVERY)
    assert out.getvalue() == "..."
    assert slept == [ALIVE_EVERY, ALIVE_EVERY, ALIVE_EVERY / 2]
