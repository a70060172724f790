"""Turns: tries that are spread, and an end that everybody hears of."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from app.turns import Turns

NEVER = 60.0


def test_all_go_on_when_one_succeeds():
    turns = Turns(NEVER)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(turns.wait, NEVER) for _ in range(4)]
        while not all(one.running() for one in waiting):
            assert time.monotonic() - started < 30
        while any(not one.done() for one in waiting):  # a thread may begin to wait only after a success
            turns.succeeded()
            assert time.monotonic() - started < 30


def test_many_threads_try_no_oftener_than_one_would():
    turns, tries, over = Turns(0.05), [], threading.Event()

    def keep_trying():
        while not over.is_set():
            turns.wait(1)
            tries.append(None)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(keep_trying)
        began = time.monotonic()
        time.sleep(0.5)
        over.set()
        lasted = time.monotonic() - began
    assert 1 <= len(tries) <= lasted / 0.05 + 9, "each thread ends with one more"


def test_nobody_waits_longer_than_it_has_time():
    turns = Turns(NEVER)
    started = time.monotonic()
    turns.wait(0.05)
    assert 0.04 < time.monotonic() - started < 30


def test_after_a_success_the_next_turn_is_the_first():
    turns = Turns(0.01, clock=lambda: 100.0)
    for _ in range(3):
        turns.wait(0)
    assert turns._last > 100.02
    turns.succeeded()
    turns.wait(0)
    assert turns._last == 100.01
