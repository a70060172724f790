from __future__ import annotations

import threading

import pytest

from app.connection import ConnectionLostError
from app.deadline import Deadline
from app.errors import OverloadedError
from app.pool import Pool, PoolLimits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def soon() -> Deadline:
    return Deadline(0.2)


def servers(pool, count):
    names = []
    for _ in range(count):
        with pool.connection(soon()) as connection:
            names.append(connection.server)
    return names


def test_an_idle_connection_is_used_again(database):
    pool = Pool(database.connect_writer, PoolLimits(size=2, queue=0))
    servers(pool, 5)
    assert len(database.opened) == 1


def test_consecutive_requests_reach_every_reader_in_turn(database):
    pool = Pool(database.connect_reader, PoolLimits(size=2, queue=0, spread=3))
    assert servers(pool, 9) == ["server-1", "server-2", "server-3"] * 3
    assert len(database.opened) == 3


def test_a_connection_that_was_hung_up_while_idle_is_replaced(database):
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=0))
    servers(pool, 1)
    database.opened[0].hung_up = True
    servers(pool, 1)
    assert database.opened[0].closed
    assert len(database.opened) == 2


def test_an_old_connection_is_replaced(database):
    clock = Clock()
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=0, max_age=60), clock)
    servers(pool, 1)
    clock.now = 61
    servers(pool, 1)
    assert database.opened[0].closed
    assert len(database.opened) == 2


def test_a_failure_drops_idle_connections_to_the_same_server_only(database):
    pool = Pool(database.connect_reader, PoolLimits(size=4, queue=0, spread=4))
    servers(pool, 4)  # server-1 twice

    def fail():
        with pool.connection(soon()) as connection:
            assert connection.server == "server-1"
            raise ConnectionLostError("gone")

    with pytest.raises(ConnectionLostError):
        fail()
    assert [(each.server, each.closed) for each in database.opened] == [
        ("server-1", True),
        ("server-2", False),
        ("server-3", False),
        ("server-1", True),
    ]


def test_a_spare_connection_serves_when_no_new_one_can_be_had(database):
    pool = Pool(database.connect_reader, PoolLimits(size=2, queue=0, spread=3))
    servers(pool, 1)
    database.refuse_connections = 1
    assert servers(pool, 1) == ["server-1"]


def test_more_than_the_queue_are_refused_at_once(database):
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=0))
    with pool.connection(soon()), pytest.raises(OverloadedError), pool.connection(Deadline(60)):
        pass


def test_waiting_for_a_connection_ends_at_the_deadline(database):
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=1))
    with pool.connection(soon()), pytest.raises(OverloadedError), pool.connection(Deadline(0.01)):
        pass


def test_a_freed_connection_goes_to_who_waits(database):
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=1))
    got = threading.Event()

    def wait():
        with pool.connection(Deadline(5)):
            got.set()

    with pool.connection(soon()):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.is_set()
    assert got.wait(5)
    thread.join(5)
    assert len(database.opened) == 1


def test_a_failed_connection_gives_its_place_back(database):
    pool = Pool(database.connect_writer, PoolLimits(size=1, queue=0))
    database.refuse_connections = 1
    with pytest.raises(ConnectionLostError):
        servers(pool, 1)
    assert servers(pool, 1) == ["server-1"]
