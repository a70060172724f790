"""Deadlines and progress lines."""

from __future__ import annotations

from operations.deadline import Deadline
from operations.progress import Progress


def test_the_first_answer_counts(clock):
    answers = iter([None, None, "yes", "never"])
    assert Deadline(10, clock, clock.sleep).poll(lambda: next(answers), 1) == "yes"
    assert clock.now == 2


def test_it_ends_when_the_time_is_up_after_a_last_look(clock):
    looks = []
    deadline = Deadline(2.5, clock, clock.sleep)
    assert deadline.poll(lambda: looks.append(clock.now), 1) is None
    assert looks == [0, 1, 2, 2.5]
    assert deadline.passed
    assert deadline.remaining == 0


def test_a_passed_deadline_still_looks_once(clock):
    assert Deadline(0, clock, clock.sleep).poll(lambda: "yes", 1) == "yes"


def test_a_part_does_not_outlast_the_whole(clock):
    whole = Deadline(10, clock, clock.sleep)
    clock.sleep(7)
    assert whole.within(60).seconds == 3
    assert whole.within(1).seconds == 1


def test_one_made_anew_is_as_long_and_begins_now(clock):
    first = Deadline(10, clock, clock.sleep)
    clock.sleep(9)
    again = first.anew()
    clock.sleep(9)
    assert (again.remaining, first.elapsed) == (1, 18)


def test_only_news_is_printed(clock):
    lines = []
    progress = Progress(lines.append, clock)
    progress.report("server-1", "boots")
    clock.sleep(12)
    progress.report("server-1", "boots")
    progress.report("server-2", "boots")
    progress.report("server-1", "ready")
    assert lines == ["   0.0 s  server-1: boots", "  12.0 s  server-2: boots", "  12.0 s  server-1: ready"]


def test_since_when(clock):
    progress = Progress(lambda line: None, clock)
    assert progress.standing("server-1") is None
    progress.report("server-1", "boots")
    clock.sleep(5)
    progress.report("server-1", "boots")
    clock.sleep(5)
    assert progress.standing("server-1") == ("boots", 10)
