"""Batches of log events: within the limits of PutLogEvents, in order, nothing left out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userdata.host import log_batch
from userdata.host.log_batch import BATCH_BYTES, BATCH_EVENTS, CUT, OVERHEAD, SPAN, Event, LineError, batches, cut

EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(["/tripod/dev/haproxy", "/tripod/dev/audit"]),
        st.integers(0, 3 * SPAN),
        # Up to 400,000 bytes: some hundred thousand characters of one, two or four bytes.
        st.builds(lambda text, times: text * times, st.sampled_from(["a", "é", "🙂"]), st.integers(1, 100_000)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_every_event_is_in_one_batch_of_its_group(events: list[Event]) -> None:
    found = list(batches(events))
    for group in {event.group for event in events}:
        sent = [event for batch in found for event in batch if event.group == group]
        assert sent == sorted((e for e in events if e.group == group), key=lambda event: event.time)


@given(EVENTS)
def test_no_batch_is_beyond_a_limit(events: list[Event]) -> None:
    for batch in batches(events):
        assert 1 <= len(batch) <= BATCH_EVENTS
        assert len({event.group for event in batch}) == 1
        assert sum(len(event.message.encode()) + OVERHEAD for event in batch) <= BATCH_BYTES
        assert [event.time for event in batch] == sorted(event.time for event in batch)
        assert batch[-1].time - batch[0].time < SPAN


def test_a_batch_holds_as_much_as_it_may() -> None:
    exact = [Event("g", 0, "x" * (BATCH_BYTES // 2 - OVERHEAD))] * 2
    assert [len(batch) for batch in batches(exact)] == [2]
    assert [len(batch) for batch in batches([*exact, Event("g", 0, "x")])] == [2, 1]
    assert [len(batch) for batch in batches([Event("g", 0, "x")] * (BATCH_EVENTS + 1))] == [BATCH_EVENTS, 1]


def test_a_day_is_too_long_for_a_batch() -> None:
    assert [len(batch) for batch in batches([Event("g", 0, "x"), Event("g", SPAN - 1, "y")])] == [2]
    assert [len(batch) for batch in batches([Event("g", 0, "x"), Event("g", SPAN, "y")])] == [1, 1]


@given(st.text(max_size=400), st.integers(OVERHEAD + len(CUT) + 4, 200))
def test_a_long_message_is_cut_and_says_so(text: str, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_batch, "BATCH_BYTES", limit)
        found = cut(text)
    assert 0 < len(found.encode()) <= limit - OVERHEAD
    whole = text.encode(errors="replace").decode() or " "
    assert found == whole or (found.endswith(CUT) and whole.startswith(found.removesuffix(CUT)))


def test_an_event_of_more_than_a_batch_is_one_batch() -> None:
    event = Event.parse(json.dumps({"group": "g", "time": "2026-11-24T10:00:00Z", "message": "é" * BATCH_BYTES}))
    assert event.message.endswith(CUT)
    assert BATCH_BYTES - 2 <= event.size <= BATCH_BYTES


def test_what_rsyslog_writes() -> None:
    line = '{"group":"/tripod/dev/audit","time":"2026-11-24T12:56:25.123456+00:00","message":"a \\"b\\"\\n\\tc"}'
    assert Event.parse(line) == Event("/tripod/dev/audit", 1795524985123, 'a "b"\n\tc')


def test_what_cloudwatch_would_refuse_is_made_acceptable() -> None:
    assert cut("") == " "
    assert cut("\udcff") == "?"


@pytest.mark.parametrize("line", ["", "{", "[]", '{"group": "g", "time": "noon", "message": "m"}', '{"group": "g"}'])
def test_anything_else_is_an_error(line: str) -> None:
    with pytest.raises(LineError, match="not a log event"):
        Event.parse(line)
