"""Delivery to CloudWatch Logs: on the emulated one, and on one that fails as a test asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from userdata.host import log_delivery
from userdata.host.log_batch import Event
from userdata.host.log_delivery import LONGEST_PAUSE, Delivery

GROUP = "/tripod/dev/haproxy"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutLogEvents")


class Logs:
    """CloudWatch Logs that answers each PutLogEvents by the next of `faults`, and accepts when there are no more."""

    def __init__(self, *faults: Exception, poison: str | None = None, answer: dict[str, Any] | None = None) -> None:
        self.faults, self.poison, self.answer = list(faults), poison, answer or {}
        self.accepted: list[str] = []
        self.streams: list[tuple[str, str]] = []

    def create_log_stream(self, **words: str) -> None:
        stream = (words["logGroupName"], words["logStreamName"])
        if stream in self.streams:
            raise refusal("ResourceAlreadyExistsException")
        self.streams.append(stream)

    def put_log_events(self, **words: Any) -> dict[str, Any]:
        assert (words["logGroupName"], words["logStreamName"]) in self.streams
        if self.faults:
            raise self.faults.pop(0)
        messages = [event["message"] for event in words["logEvents"]]
        if any(self.poison and self.poison in message for message in messages):
            raise refusal("InvalidParameterException")
        self.accepted += messages
        return self.answer


class Bench:
    """A delivery to `logs` with what it waited and said."""

    def __init__(self, logs: Any, stalled: Path | None = None) -> None:
        self.waited: list[float] = []
        self.said: list[str] = []
        self.connected = 0
        self.logs = logs
        self.delivery = Delivery(self._connect, "server-1", self.waited.append, self.said.append, stalled)

    def _connect(self) -> Any:
        self.connected += 1
        return self.logs

    def deliver(self, *messages: str) -> None:
        self.delivery.deliver(Event(GROUP, time, message) for time, message in enumerate(messages))


@pytest.fixture
def emulated() -> Iterator[Any]:
    with mock_aws():
        logs = boto3.client("logs", region_name="eu-central-1")
        logs.create_log_group(logGroupName=GROUP)
        yield logs


def test_events_arrive_in_the_servers_own_stream(emulated: Any) -> None:
    bench = Bench(emulated)
    now = log_delivery.time.time_ns() // 1_000_000
    for number in range(2):
        bench.delivery.deliver([Event(GROUP, now + number, f"line {number}")])
    # A program that starts anew finds its stream.
    Bench(emulated).delivery.deliver([Event(GROUP, now + 2, "line 2")])
    found = emulated.get_log_events(logGroupName=GROUP, logStreamName="server-1", startFromHead=True)["events"]
    assert [event["message"] for event in found] == ["line 0", "line 1", "line 2"]
    assert bench.waited == bench.said == []


def test_a_stream_is_made_once() -> None:
    bench = Bench(Logs())
    bench.deliver("a")
    bench.deliver("b")
    assert bench.logs.streams == [(GROUP, "server-1")]
    assert bench.connected == 1


@pytest.mark.parametrize(
    "fault",
    [
        refusal("ThrottlingException"),
        refusal("ServiceUnavailableException"),
        refusal("AccessDeniedException"),
        EndpointConnectionError(endpoint_url="https://logs"),
        NoCredentialsError(),
    ],
    ids=str,
)
def test_it_tries_again_until_it_is_accepted(fault: Exception, tmp_path: Path) -> None:
    stalled = tmp_path / "stalled"
    bench = Bench(Logs(*[fault] * 9), stalled)
    there: list[bool] = []
    bench.delivery.wait = lambda seconds: (bench.waited.append(seconds), there.append(stalled.exists()))  # type: ignore[func-returns-value]
    bench.deliver("a", "b")
    assert bench.logs.accepted == ["a", "b"]
    assert len(bench.waited) == 9
    assert bench.waited[0] <= 1.0 < bench.waited[3] < max(bench.waited) <= LONGEST_PAUSE
    assert all(there)
    assert not stalled.exists()
    first, last = bench.said
    assert "cannot deliver" in first
    assert "delivers again" in last


def test_credentials_are_looked_for_again() -> None:
    bench = Bench(Logs())
    missing = [NoCredentialsError(), NoCredentialsError()]

    def connect() -> Any:
        if missing:
            raise missing.pop()
        return bench.logs

    bench.delivery.connect = connect
    bench.deliver("a")
    assert bench.logs.accepted == ["a"]
    assert len(bench.waited) == 2


def test_a_group_that_comes_later(emulated: Any) -> None:
    emulated.delete_log_group(logGroupName=GROUP)
    bench = Bench(emulated)
    bench.delivery.wait = lambda _: emulated.create_log_group(logGroupName=GROUP)
    bench.delivery.deliver([Event(GROUP, log_delivery.time.time_ns() // 1_000_000, "late")])
    found = emulated.get_log_events(logGroupName=GROUP, logStreamName="server-1")["events"]
    assert [event["message"] for event in found] == ["late"]


def test_a_stream_that_somebody_deleted_is_made_again() -> None:
    logs = Logs()
    bench = Bench(logs)
    bench.deliver("a")
    logs.streams.clear()
    logs.faults = [refusal("ResourceNotFoundException")]
    logs.put_log_events = _gone_until_made(logs)  # type: ignore[method-assign]
    bench.deliver("b")
    assert logs.accepted == ["a", "b"]


def _gone_until_made(logs: Logs) -> Callable[..., dict[str, Any]]:
    put = Logs.put_log_events

    def answer(**words: Any) -> dict[str, Any]:
        if not logs.streams:
            raise logs.faults.pop(0)
        return put(logs, **words)

    return answer


def test_one_bad_event_does_not_hold_up_the_others() -> None:
    bench = Bench(Logs(poison="bad"))
    bench.deliver("a", "b", "bad", "c", "d")
    assert bench.logs.accepted == ["a", "b", "c", "d"]
    assert bench.waited == []
    assert ["is dropped" in said for said in bench.said] == [True]


def test_what_was_accepted_before_is_not_sent_for_ever() -> None:
    bench = Bench(Logs(refusal("DataAlreadyAcceptedException")))
    bench.deliver("a")
    assert bench.waited == bench.said == []


def test_events_that_are_too_old_are_spoken_of() -> None:
    bench = Bench(Logs(answer={"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 1}}))
    bench.deliver("a", "b")
    assert bench.said == [f"{GROUP} does not take events of that age: {{'tooOldLogEventEndIndex': 1}}"]
