from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.bulkhead import Bulkhead
from app.errors import OverloadedError


def enter(bulkhead):
    with bulkhead.place():
        pass


def test_a_place_is_waited_for_while_the_writer_works():
    bulkhead = Bulkhead(1, patience=5)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with bulkhead.place():
            inside.set()
            leave.wait(5)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(hold)
        assert inside.wait(5)
        second = threads.submit(enter, bulkhead)
        leave.set()
        first.result(5)
        second.result(5)


def test_patience_ends():
    bulkhead = Bulkhead(1, patience=0.01)
    with bulkhead.place(), pytest.raises(OverloadedError):
        enter(bulkhead)
    enter(bulkhead)


def test_nobody_waits_for_a_writer_that_fails():
    bulkhead = Bulkhead(1, patience=60)
    started = time.monotonic()
    with bulkhead.place(), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(enter, bulkhead)
        bulkhead.report(failing=True)
        with pytest.raises(OverloadedError):
            waiting.result(5)
        with pytest.raises(OverloadedError):
            enter(bulkhead)
        bulkhead.report(failing=False)
    assert time.monotonic() - started < 5
    enter(bulkhead)
