"""The commands as they are typed: output, exit codes, one message an error and never a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result

from operations import cli, configuration
from operations.aws import Aws
from operations.errors import OperationError, PermissionDeniedError
from tests.operations.conftest import NEW, OLD, REFERENCE, REGION, launch, put_manifest, put_state
from tests.operations.test_targets import group


@pytest.fixture
def invoke(monkeypatch, hosts):
    monkeypatch.setattr(cli, "make_runner", lambda aws: hosts)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


@pytest.fixture
def stack(aws) -> dict[str, str]:
    ids = launch("dev", REFERENCE)
    for name in REFERENCE:
        put_state(name)
        put_manifest(name, OLD)
    return ids


def error_of(result: Result, code: int = 1) -> str:
    assert result.exit_code == code
    assert "Traceback" not in result.output
    lines = [line for line in result.output.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    return result.output


def test_verify(invoke, stack):
    result = invoke("verify", "--stack", "dev", "--timeout", "30")
    assert result.exit_code == 0, result.output
    assert "database group: all ONLINE, one writer" in result.output
    assert result.output.splitlines()[-1].startswith("Stack 'dev' is healthy (")
    assert "\x1b" not in result.output


def test_verify_takes_the_digests_of_the_environment(invoke, stack, hosts, monkeypatch):
    monkeypatch.setenv("TRIPOD_EXPECTED_DIGESTS", json.dumps({"server-2": NEW}))
    assert invoke("verify", "--stack", "dev", "--timeout", "60").exit_code == 0
    assert hosts.asked("tripod apply") == [("server-2", f"tripod apply --expect {NEW}")]


def test_verify_fails_with_one_message(invoke, stack, hosts):
    hosts["server-2"].problems = ["haproxy.service is failed"]
    output = error_of(invoke("verify", "--stack", "dev", "--timeout", "1"))
    assert "server-2: waiting: haproxy.service is failed" in output
    assert "server-2 mysqld: last words" in output


def test_verify_asks_for_the_name_of_the_url(invoke, stack, hosts, monkeypatch):
    monkeypatch.setenv("TRIPOD_URL", "https://www.example.org/")
    assert invoke("verify", "--stack", "dev").exit_code == 0
    (script,) = [script for _, script in hosts.commands if "Ask the site" in script]
    assert " www.example.org /" in script.splitlines()[0]


def test_status(invoke, stack):
    result = invoke("status", "--stack", "dev")
    assert result.exit_code == 0, result.output
    assert "Healthy." in result.output
    assert result.output.count("aaaaaaaaaaaa (in sync)") == 3
    assert "primary" in result.output


def test_status_as_json(invoke, stack):
    put_manifest("server-2", NEW)
    result = invoke("status", "--stack", "dev", "--json")
    assert result.exit_code == 1
    value = json.loads(result.output)
    assert (value["stack"], value["healthy"]) == ("dev", False)
    assert value["problems"] == ["server-2: has applied sha256:aaaaaaaaaaaa, not sha256:bbbbbbbbbbbb; run 'apply'"]
    first, second, _ = value["servers"]
    assert first["name"] == "server-1"
    assert first["roles"] == ["load_balancer", "app", "database"]
    assert first["instance_id"] == stack["server-1"]
    assert first["database"]["role"] == "primary"
    assert (first["in_sync"], second["in_sync"]) == (True, False)


def test_status_of_an_unhealthy_stack(invoke, stack, hosts):
    hosts["server-3"].problems = ["the role check does not answer"]
    hosts["server-3"].role = None
    result = invoke("status", "--stack", "dev")
    assert result.exit_code == 1
    assert "- server-3: the role check does not answer" in result.output
    assert "Not healthy." in result.output


def test_status_tells_which_server_the_world_does_not_reach(invoke, stack):
    group("https", 443)
    result = invoke("status", "--stack", "dev", "--json")
    assert result.exit_code == 1
    first, *others = json.loads(result.output)["servers"]
    assert first["problems"] == ["for port 443 it is not registered at the Network Load Balancer"]
    assert [one["problems"] for one in others] == [[], []]
    table = invoke("status", "--stack", "dev").output
    assert "- server-1: for port 443 it is not registered" in table
    assert "Not healthy." in table


def test_status_without_the_permission_to_ask_the_load_balancer_says_so(invoke, stack, monkeypatch):
    ask = Aws.call

    def refusing(self, service, operation, **arguments):
        if operation == "describe_target_health":
            raise PermissionDeniedError("elasticloadbalancing:DescribeTargetHealth", "arn:x", None)
        return ask(self, service, operation, **arguments)

    group("https", 443)
    monkeypatch.setattr(Aws, "call", refusing)
    result = invoke("status", "--stack", "dev")
    assert result.exit_code == 0
    assert "Note: cannot tell whether a Network Load Balancer sends requests" in result.output
    assert "elasticloadbalancing:DescribeTargetHealth" in result.output


def test_status_of_a_stopped_server(invoke, stack):
    boto3.client("ec2", region_name=REGION).stop_instances(InstanceIds=[stack["server-3"]])
    result = invoke("status", "--stack", "dev", "--json")
    assert result.exit_code == 1
    server = json.loads(result.output)["servers"][2]
    assert (server["state"], server["database"], server["in_sync"]) == ("stopped", None, None)
    assert server["problems"] == ["the instance is stopped"]


def test_apply(invoke, stack, hosts):
    for name in REFERENCE:
        put_manifest(name, NEW)
    result = invoke("apply", "--stack", "dev")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "Applied on server-2, server-3, server-1."
    assert {host.digest for host in hosts.hosts.values()} == {NEW}


def test_apply_on_one_server(invoke, stack, hosts):
    assert invoke("apply", "--stack", "dev", "--server", "server-3").exit_code == 0
    assert [name for name, _ in hosts.asked("tripod apply")] == ["server-3"]


def test_apply_does_not_wait_when_told_so(invoke, stack, hosts):
    hosts["server-3"].member_state = "ERROR"
    words = ("apply", "--stack", "dev", "--server", "server-2")
    assert invoke(*words, "--without-waiting").exit_code == 0
    assert [name for name, _ in hosts.asked("tripod apply")] == ["server-2"]
    assert "server-3 is ERROR, not ONLINE" in error_of(invoke(*words, "--timeout", "1"))


def test_apply_on_a_server_that_is_not_there(invoke, stack):
    assert "no server 'server-7'" in error_of(invoke("apply", "--stack", "dev", "--server", "server-7"))


def test_switchover_to_the_primary_does_nothing(invoke, stack):
    result = invoke("switchover", "--stack", "dev", "--to", "server-1")
    assert result.exit_code == 0
    assert "nothing was done" in result.output


def test_switchover_without_a_primary(invoke, stack, hosts):
    hosts["server-1"].writable = False
    assert "No server accepts writes" in error_of(invoke("switchover", "--stack", "dev"))


def test_a_stack_that_is_not_there(invoke, stack):
    output = error_of(invoke("status", "--stack", "prod"))
    assert "No server of stack 'prod' in eu-central-1. Stacks there: dev." in output


def test_shell_prints_its_command(invoke, stack):
    result = invoke("shell", "--stack", "dev", "--print", "server-2")
    assert result.output == f"aws ssm start-session --target {stack['server-2']} --region {REGION}\n"


def test_shell_without_the_aws_cli(invoke, stack, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "'aws' is not on PATH" in error_of(invoke("shell", "--stack", "dev", "server-2"))


def test_shell_without_its_plug_in(invoke, stack, monkeypatch, tmp_path):
    (tmp_path / "aws").write_text("#!/bin/sh\n")
    (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "'session-manager-plugin' is not on PATH" in error_of(invoke("shell", "--stack", "dev", "server-2"))


def test_shell_becomes_the_session(invoke, stack, monkeypatch, tmp_path):
    for name in ("aws", "session-manager-plugin"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    became = []
    monkeypatch.setattr("operations.shell.os.execvp", lambda program, words: became.append((program, words)))
    assert invoke("shell", "--stack", "dev", "server-2").exit_code == 0
    assert became == [("aws", ["aws", "ssm", "start-session", "--target", stack["server-2"], "--region", REGION])]


def test_shell_on_a_stopped_server(invoke, stack):
    boto3.client("ec2", region_name=REGION).stop_instances(InstanceIds=[stack["server-2"]])
    assert "is stopped" in error_of(invoke("shell", "--stack", "dev", "server-2"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: tripod\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  aws:region: eu-west-1\n  tripod:preset: active-active\n")
    return tmp_path


@pytest.mark.parametrize("given,expected", [("ap-south-1", "ap-south-1"), ("", "eu-west-1")])
def test_the_region_is_the_environments_or_else_that_of_the_stacks_file(
    invoke, aws, project, monkeypatch, given, expected
):
    monkeypatch.setattr(configuration, "PROJECT_DIRECTORY", project)
    monkeypatch.setenv("AWS_REGION", given)
    assert f"in {expected}" in error_of(invoke("status", "--stack", "dev"))
    assert "in sa-east-1" in error_of(invoke("status", "--stack", "dev", "--region", "sa-east-1"))


@pytest.mark.parametrize(
    "stack, content, said",
    [
        ("prud", None, "there is no file Pulumi.prud.yaml"),
        ("dev", "config: [\n", "Pulumi.dev.yaml, line 2 is not valid YAML"),
        ("dev", "config: {aws:region: eu-west}\n", "'eu-west' is not the name of a region"),
        ("dev", "config: {tripod:preset: reference}\n", "no region is named"),
    ],
)
def test_why_the_stacks_file_gives_no_region_is_told(invoke, project, monkeypatch, stack, content, said):
    monkeypatch.setattr(configuration, "PROJECT_DIRECTORY", project)
    monkeypatch.delenv("AWS_REGION")
    if content:
        (project / "Pulumi.dev.yaml").write_text(content)
    output = error_of(invoke("status", "--stack", stack))
    assert "No AWS region is set. Set AWS_REGION, or pass --region." in output
    assert said in output
    assert ("Stacks that have one: dev" in output) is (content is None)


@pytest.mark.parametrize("command", ["status", "verify", "explain"])
def test_a_stacks_short_name_is_wanted(invoke, command):
    assert "give the stack's short name: 'dev'." in error_of(invoke(command, "--stack", "me/tripod/dev"), code=2)


@pytest.mark.parametrize("command", ["apply", "status", "verify"])
def test_digests_that_are_none_are_told_before_aws_is_asked(invoke, monkeypatch, command):
    monkeypatch.setattr(cli, "_aws", lambda stack, region: pytest.fail("AWS was asked"))
    output = error_of(invoke(command, "--stack", "dev", "--expected-digests", "{bad"))
    assert "TRIPOD_EXPECTED_DIGESTS is not JSON" in output


def test_explain_wants_a_region_as_the_program_does(invoke, project):
    (project / "Pulumi.dev.yaml").write_text("config:\n  tripod:preset: reference\n")
    output = error_of(invoke("explain", "--stack", "dev", "--directory", str(project)))
    assert "aws:region: no region is named. Run: pulumi config set aws:region us-east-1" in output


def test_explain_needs_no_aws(invoke, project, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = invoke("explain", "--stack", "dev", "--directory", str(project))
    assert result.exit_code == 0, result.output
    assert "Stack dev in eu-west-1: 3 servers" in result.output
    assert "Network Load Balancer" in result.output


def test_flows_as_markdown(invoke, project):
    result = invoke("flows", "--stack", "dev", "--directory", str(project), "--markdown")
    assert result.output.startswith("| from | to | protocol | port | why |\n| --- |")
    assert "| world | edge | tcp | 443 | visitors |\n" in result.output


def test_flows_as_a_table(invoke, project):
    result = invoke("flows", "--stack", "dev", "--directory", str(project))
    assert "Flows of stack dev" in result.output
    assert "group communication" in result.output


def test_a_stack_without_a_file(invoke, project):
    output = error_of(invoke("explain", "--stack", "nope", "--directory", str(project)))
    assert "Pulumi.nope.yaml" in output
    assert "dev" in output


def test_a_bad_configuration(invoke, project):
    (project / "Pulumi.dev.yaml").write_text("config:\n  aws:region: eu-west-1\n  tripod:presett: reference\n")
    output = error_of(invoke("flows", "--stack", "dev", "--directory", str(project)))
    assert "presett" in output
    assert "Did you mean 'preset'?" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "--stack", "dev", "--timeout", "0"],
        ["verify", "--stack", "dev", "--from-here"],
        ["switchover", "--stack", "dev", "--drain", "3601"],
        ["shell", "--stack", "dev"],
        ["dance"],
    ],
)
def test_wrong_usage(invoke, arguments):
    error_of(invoke(*arguments), code=2)


def test_an_http_url_is_refused(invoke, stack):
    assert "not an https:// URL" in error_of(invoke("verify", "--stack", "dev", "--url", "http://example.org"))


def test_errors_of_the_program_itself_are_not_hidden(monkeypatch, stack):
    def broken(aws):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "make_runner", broken)
    assert not issubclass(ZeroDivisionError, OperationError)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(cli.main, ["status", "--stack", "dev"], catch_exceptions=False)


def test_dashboard_prints_its_command(invoke, stack):
    result = invoke("dashboard", "--stack", "dev", "--print", "--port", "9999")
    assert result.exit_code == 0
    words = result.output.split()
    assert words[:5] == ["aws", "ssm", "start-session", "--target", stack["server-3"]]
    assert re.search(r"host=10\.[0-9.]+,portNumber=9090,localPortNumber=9999$", result.output.strip())


def test_dashboard_without_monitoring(invoke, stack):
    boto3.client("ec2", region_name=REGION).stop_instances(InstanceIds=[stack["server-3"]])
    assert "no monitoring server" in error_of(invoke("dashboard", "--stack", "dev"))


@pytest.mark.parametrize(
    "url", ["http://[", "https://example.org:99999/", "https://", "example.org", "ftp://example.org"]
)
def test_what_is_no_url_of_a_site_is_a_message(invoke, url):
    assert "Write it as https://www.example.org/" in error_of(invoke("verify", "--stack", "dev", "--url", url))


def test_a_page_is_asked_for_by_its_path(invoke):
    assert "begins with '/'" in error_of(invoke("verify", "--stack", "dev", "--path", "health"), 2)


def test_what_is_no_region_is_a_message(invoke, aws):
    said = error_of(invoke("status", "--stack", "dev", "--region", "no where"))
    assert "AWS_REGION or --region" in said
