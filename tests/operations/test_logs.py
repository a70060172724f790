"""`python -m operations logs` on an emulated CloudWatch Logs."""

from __future__ import annotations

import time
from datetime import timedelta

import boto3
import pytest
from click.testing import CliRunner, Result

from operations import cli
from operations.logs import parse_since
from tests.operations.conftest import REGION

GROUP = "/tripod/dev/haproxy"


@pytest.fixture
def shipped(emulated: None) -> None:
    logs = boto3.client("logs", region_name=REGION)
    now = time.time_ns() // 1_000_000
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_group(logGroupName=f"{GROUP}-of-somebody-else")
    for server, lines in {
        "server-1": [(now - 3_600_000, "an hour ago"), (now - 2_000, "first"), (now - 500, "third")],
        "server-2": [(now - 1_000, "second")],
    }.items():
        logs.create_log_stream(logGroupName=GROUP, logStreamName=server)
        events = [{"timestamp": at, "message": message} for at, message in lines]
        logs.put_log_events(logGroupName=GROUP, logStreamName=server, logEvents=events)


def logs(*words: str) -> Result:
    result = CliRunner().invoke(cli.main, ["logs", "--stack", "dev", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.split(" ", 1)[1] for line in result.output.splitlines()]


@pytest.mark.usefixtures("shipped")
def test_lines_of_all_servers_in_order_of_time() -> None:
    assert told(logs("haproxy")) == ["server-1 first", "server-2 second", "server-1 third"]
    assert told(logs("haproxy", "--since", "2h"))[0] == "server-1 an hour ago"
    assert logs("haproxy").output.split(" ")[0].endswith("Z")


@pytest.mark.usefixtures("shipped")
def test_lines_of_one_server() -> None:
    assert told(logs("haproxy", "--server", "server-2")) == ["server-2 second"]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    "words, code, message",
    [
        (
            ("haproxy", "--server", "server-9"),
            1,
            "server-9 has shipped nothing to /tripod/dev/haproxy; there is: server-1, server-2",
        ),
        (("mysql",), 1, "there is no log group /tripod/dev/mysql in eu-central-1"),
        (("haproxy", "--since", "soon"), 2, "'soon' is not a time"),
        (("nginx",), 2, "'haproxy', 'mysql', 'application', 'audit', 'tripod'"),
    ],
)
def test_what_cannot_be_read(words: tuple[str, ...], code: int, message: str) -> None:
    result = logs(*words)
    assert result.exit_code == code
    assert message in result.output


def test_times() -> None:
    assert [parse_since(text) for text in ("90s", "10m", "2h", "7d")] == [
        timedelta(seconds=90),
        timedelta(minutes=10),
        timedelta(hours=2),
        timedelta(days=7),
    ]
