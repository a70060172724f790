from __future__ import annotations

import threading
import time

import pytest

from app.errors import EntryNotFoundError, OutcomeUnknownError, OverloadedError, UnavailableError

ALWAYS = 10**6


def test_an_entry_is_stored_once(entries, database):
    first = entries.add("k", "hello")
    again = entries.add("k", "something else")
    assert (first.created, again.created) == (True, False)
    assert again.entry == first.entry
    assert first.entry.written_by == "server-1"
    assert len(database.rows) == 1


def test_a_write_waits_for_a_new_primary(entries, database):
    entries.add("before", "x")
    database.writer = "server-2"
    database.refuse_writes = 1  # the old primary is read-only now
    database.refuse_connections = 2  # and the new one is not elected yet
    assert entries.add("after", "x").entry.written_by == "server-2"


@pytest.mark.parametrize("fault", ["lost", "dropped"])
def test_a_commit_of_unknown_outcome_is_settled_by_trying_again(entries, database, fault):
    database.break_commits = [fault]
    written = entries.add("k", "hello")
    assert written.created
    assert [row[1] for row in database.rows] == ["k"]


@pytest.mark.parametrize("fault", ["lost", "dropped"])
def test_a_commit_that_cannot_be_settled_is_said_to_be_unknown(entries, database, fault):
    entries.add("warm", "x")  # its connection is idle now
    database.break_commits = [fault]
    database.refuse_connections = ALWAYS
    with pytest.raises(OutcomeUnknownError) as raised:
        entries.add("k", "hello")
    assert raised.value.retry_after


def test_without_a_writer_nothing_is_stored_and_the_time_is_bounded(entries, database):
    database.refuse_connections = ALWAYS
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="nothing was stored") as raised:
        entries.add("k", "hello")
    assert time.monotonic() - started < 2
    assert raised.value.retry_after
    assert not database.rows


def test_a_read_only_writer_counts_as_no_writer(entries, database):
    database.refuse_writes = ALWAYS
    with pytest.raises(UnavailableError):
        entries.add("k", "hello")
    assert not database.rows


def test_writes_that_wait_leave_room_for_others(entries, database):
    database.refuse_connections = ALWAYS
    failures = []

    def write(number):
        try:
            entries.add(f"k{number}", "x")
        except UnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(failures) == 12
    assert any(isinstance(error, OverloadedError) for error in failures)


def test_reads_go_on_when_a_connection_breaks(entries, database):
    database.add("k", "hello")
    database.break_queries = 2
    found = entries.after(0, 10)
    assert [entry.key for entry in found.entries] == ["k"]


def test_a_request_is_not_kept_waiting_for_one_broken_connection(entries, database, monkeypatch):
    database.add("k", "hello")
    monkeypatch.setattr(entries, "_pause", None)  # who waits on it raises
    monkeypatch.setattr(entries._turns, "wait", None)
    database.break_queries = 1
    assert [entry.key for entry in entries.after(0, 10).entries] == ["k"]
    database.refuse_writes = 1
    assert entries.add("other", "x").created


def test_one_hung_reader_fails_neither_a_page_nor_a_health_check(entries, database):
    for _ in range(3):
        entries.probe()
    database.hung = "server-1"
    assert entries.probe() != "server-1"
    assert entries.after(0, 10).read_from != "server-1"


def test_a_hung_writer_costs_no_more_than_the_budget(entries, database):
    entries.add("warm", "x")
    database.hung = "server-1"
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        entries.add("k", "x")
    assert time.monotonic() - started < 2


def test_reads_fail_honestly_without_readers(entries, database):
    database.refuse_connections = ALWAYS
    with pytest.raises(UnavailableError):
        entries.after(0, 10)
    with pytest.raises(UnavailableError):
        entries.probe()


def test_the_primary_answers_for_a_replica_that_lags(entries, database):
    database.readers = ("server-3",)
    database.replicas_lag = True
    entries.add("k", "hello")
    assert entries.get("k").read_from == "server-1"


def test_only_the_primary_can_say_that_an_entry_is_missing(entries, database):
    with pytest.raises(EntryNotFoundError):
        entries.get("nope")
    database.opened[-1].hung_up = True
    database.refuse_connections = ALWAYS
    with pytest.raises(UnavailableError, match="cannot be asked"):
        entries.get("nope")


def test_paging_in_both_directions(entries, database):
    for number in range(1, 8):
        database.add(f"k{number}", "x")
    assert [entry.id for entry in entries.after(2, 3).entries] == [3, 4, 5]
    assert [entry.id for entry in entries.latest(3).entries] == [7, 6, 5]
    assert [entry.id for entry in entries.latest(3, before=5).entries] == [4, 3, 2]
