"""Last words: the journal, else the console, else the reason for neither."""

from __future__ import annotations

import dataclasses

import pytest

from operations.aws import Aws
from operations.command import CommandResult
from operations.errors import AwsError, ServerUnreachableError
from operations.journal import LINES, last_words
from operations.state import host_status


@pytest.fixture
def console(aws, monkeypatch):
    """What EC2 gives as console output; an error is raised."""
    answer: list[object] = [{"Output": "login:\n"}]

    def call(self, service, operation, **parameters):
        assert operation == "get_console_output"
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    monkeypatch.setattr(Aws, "call", call)
    return answer


def test_the_journal(aws, fleet, hosts):
    hosts.answers["journalctl"] = CommandResult("server-1", 0, "one\n\x1b[31mtwo\x1b[0m\n\n", "")
    assert last_words(aws, hosts, fleet.server("server-1"), None) == "server-1, journal:\n    one\n    two"


def test_only_the_last_lines(aws, fleet, hosts):
    hosts.answers["journalctl"] = CommandResult("server-1", 0, "".join(f"line {n}\n" for n in range(100)), "")
    lines = last_words(aws, hosts, fleet.server("server-1"), None).splitlines()
    assert len(lines) == 1 + LINES
    assert lines[-1] == "    line 99"


def test_units_that_are_down_are_asked_for_and_quoted(aws, fleet, hosts):
    hosts["server-1"].units = {"mysql.service": "failed", "a b.service": "failed", "haproxy.service": "active"}
    status = host_status(hosts, fleet.server("server-1"))
    last_words(aws, hosts, fleet.server("server-1"), status)
    ((_, script),) = hosts.asked("journalctl")
    assert "--unit=mysql.service '--unit=a b.service'" in script or "--unit='a b.service'" in script
    assert "haproxy.service" not in script
    assert f"--lines={LINES}" in script


def test_an_empty_journal(aws, fleet, hosts):
    hosts.answers["journalctl"] = CommandResult("server-1", 0, "", "")
    assert last_words(aws, hosts, fleet.server("server-1"), None) == "server-1, journal:\n    (empty)"


def test_the_console_when_the_server_cannot_be_reached(aws, fleet, hosts, console):
    hosts.answers["journalctl"] = ServerUnreachableError("server-1", "not managed")
    words = last_words(aws, hosts, fleet.server("server-1"), None)
    assert words == "server-1, no journal (not managed); console:\n    login:"


def test_the_console_when_journalctl_fails(aws, fleet, hosts, console):
    hosts.answers["journalctl"] = CommandResult("server-1", 1, "", "No journal files were found.")
    assert "no journal (No journal files were found.); console" in last_words(
        aws, hosts, fleet.server("server-1"), None
    )


def test_a_stopped_server_is_not_asked(aws, fleet, hosts, console):
    stopped = dataclasses.replace(fleet.server("server-1"), state="stopped")
    assert "no journal (the instance is stopped)" in last_words(aws, hosts, stopped, None)
    assert hosts.commands == []


def test_neither(aws, fleet, hosts, console):
    hosts.answers["journalctl"] = ServerUnreachableError("server-1", "not managed")
    console[0] = AwsError("ec2:GetConsoleOutput", "UnsupportedOperation", "not here")
    words = last_words(aws, hosts, fleet.server("server-1"), None)
    assert "not managed" in words
    assert "no console (AWS refused ec2:GetConsoleOutput" in words


def test_a_server_without_any_console_yet(aws, fleet, hosts, console):
    hosts.answers["journalctl"] = ServerUnreachableError("server-1", "not managed")
    console[0] = {}
    assert last_words(aws, hosts, fleet.server("server-1"), None).endswith("console:\n    (empty)")
