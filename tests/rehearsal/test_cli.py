"""The commands where no stack runs: clear messages, exit codes, and what they print."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

import rehearsal
from rehearsal import daemon, flows, report, requirements, up
from rehearsal.cli import main
from rehearsal.cloud import Cloud
from rehearsal.display import PlainDisplay, short
from rehearsal.engine import Event, Step
from rehearsal.flows import Attempt, Verdict
from rehearsal.paths import StackPaths, invocation
from rehearsal.shell import RehearsalError
from topology.build import build_topology
from topology.settings import Settings

SERVER = {
    "name": "server-1",
    "roles": ["load_balancer", "database"],
    "address": "10.20.0.10",
    "zone": "us-east-1a",
    "instance": "i-1",
    "state": "running",
    "problem": None,
    "status": {
        "healthy": True,
        "digest": "sha256:1",
        "problems": [],
        "database": {"role": "primary", "member_state": "ONLINE", "writable": True},
    },
}
ANSWER = {
    "https_port": 8443,
    "http_port": 8080,
    "region": "us-east-1",
    "endpoint": "http://127.0.0.1:1",
    "addresses": ["203.0.113.10"],
    "servers": [SERVER],
}


@pytest.fixture(autouse=True)
def no_stacks(tmp_path, monkeypatch):
    """Nothing of this machine's own stacks is seen or touched."""
    monkeypatch.setattr(daemon, "StackPaths", lambda stack: StackPaths(stack, tmp_path))


def call(*words):
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--json"),
        ("logs",),
        ("exec", "server-1", "--", "true"),
        ("kill", "server-1"),
        ("flows",),
    ],
    ids=" ".join,
)
def test_without_a_stack_every_command_says_how_to_start_one(words):
    done = call(words[0], "--stack", "staging", *words[1:])
    assert done.exit_code == 1
    assert f"no rehearsal of stack 'staging' is running. Start it: {invocation()} up --stack staging" in done.output
    assert "Traceback" not in done.output


def test_a_stack_that_nobody_knows_is_not_to_be_started(monkeypatch):
    running = daemon.Daemon("prod")
    running.paths.directory.mkdir(parents=True)
    (running.paths.root / "prod.lock").touch()
    monkeypatch.setattr(daemon.Daemon, "_pid", lambda one: 42 if one.stack == "prod" else None)
    done = call("status", "--stack", "stagging")
    assert done.exit_code == 1
    assert "no rehearsal of stack 'stagging' is running. Running: prod. There is no Pulumi.stagging.yaml" in done.output
    assert "stacks that have one: dev, five, prod, replicas, staging." in done.output
    assert f"of another directory: {invocation()} up --stack stagging --project DIRECTORY" in done.output


def test_a_stacks_short_name_is_wanted():
    done = call("status", "--stack", "organization/tripod/dev")
    assert done.exit_code == 2
    assert "give the stack's short name: 'dev'." in done.output


def test_a_stacks_name_is_checked():
    done = call("status", "--stack", "../etc")
    assert done.exit_code == 2
    assert "lower-case letters" in done.output


@pytest.mark.parametrize(
    "words, said",
    [
        (("fault", "cut"), "it is: fault cut SERVER"),
        (("fault", "block", "server-1"), "it is: fault block SERVER SERVER [PROTOCOL]"),
        (("fault", "heal", "server-1", "server-2"), "it is: fault heal [SERVER]"),
        (("fault", "netem", "server-1", "half", "0"), "LOSS and DELAY are numbers, not half and 0"),
        (("logs", "--lines", "0"), "x>=1"),
        (("kill",), "SERVERS"),
        (("up", "--port", "0"), "1<=x<=65535"),
        (("up", "--project", "/nonexistent"), "does not exist"),
    ],
    ids=str,
)
def test_wrong_arguments_are_wrong_usage(words, said):
    done = call(words[0], "--stack", "nothing", *words[1:])
    assert done.exit_code == 2
    assert said in done.output


def test_a_stack_ends_with_a_process_that_is_there(monkeypatch):
    monkeypatch.setattr(requirements, "missing", lambda _: [])
    with subprocess.Popen(["true"]) as gone:
        pass
    done = call("up", "--stack", "dev", "--pid", str(gone.pid))
    assert done.exit_code == 1
    assert f"--pid: there is no process {gone.pid}" in done.output


@pytest.mark.parametrize(
    "words, said",
    [
        (("--port", "8500", "--http-port", "8500"), "--port and --http-port are both 8500"),
        (("--page-port", "8443"), "--port and --page-port are both 8443"),
        (("--page-port", "8080"), "--http-port and --page-port are both 8080"),
    ],
    ids=str,
)
def test_one_port_does_one_thing(monkeypatch, words, said):
    monkeypatch.setattr(requirements, "missing", lambda _: [])
    done = call("up", "--stack", "dev", *words)
    assert done.exit_code == 1
    assert said in done.output


@pytest.mark.parametrize(
    "wanted, said",
    [
        ({"distribution": "ubuntu"}, "distribution debian -> ubuntu"),
        ({"https_port": 8500}, "https_port 8443 -> 8500"),
        ({"distribution": "debian", "https_port": 8443}, None),
        ({}, None),
    ],
    ids=str,
)
def test_what_a_running_stack_cannot_change(wanted, said):
    topology = up.read_topology(daemon.ROOT, "dev")
    running = SimpleNamespace(
        ask=lambda _: {
            "https_port": 8443,
            "region": topology.region,
            "network_cidr": str(topology.network_cidr),
            "distribution": "debian",
        }
    )
    request = up.Request("dev", daemon.ROOT, **wanted)
    if said is None:
        up._check_unchanged(running, request, topology)
        return
    with pytest.raises(RehearsalError, match=said):
        up._check_unchanged(running, request, topology)


def test_who_is_not_root_is_told_so(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "x"))

    monkeypatch.setattr(daemon.control, "ask", refused)
    done = call("status", "--stack", "x")
    assert done.exit_code == 1
    assert done.output == f"error: permission denied ({tmp_path / 'x'}): rehearsals belong to root, run this as root\n"


def test_a_name_that_no_socket_can_have_is_a_message():
    done = call("status", "--stack", "x" * 150)
    assert done.exit_code == 1
    assert "too long" in done.output
    assert "Traceback" not in done.output


def test_a_region_that_is_not_emulated_is_named():
    with pytest.raises(RehearsalError, match="aws:region 'xx-nowhere-9' is no region that the emulated AWS knows"):
        Cloud("xx-nowhere-9", managed=lambda _: True, start_command=lambda _: None)


def test_what_the_machine_lacks_is_said_at_once(monkeypatch):
    monkeypatch.setattr(requirements, "missing", lambda _: ["the rehearsal needs root", "packages are missing: nft"])
    done = call("up", "--stack", "dev")
    assert done.exit_code == 1
    assert "  - the rehearsal needs root\n  - packages are missing: nft" in done.output


def test_a_faulty_configuration_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, "missing", lambda _: [])
    (tmp_path / "Pulumi.yaml").write_text("name: tripod\nruntime: python\n")
    (tmp_path / "Pulumi.bad.yaml").write_text("config: {aws:region: eu-west-1, tripod:presett: x, tripod:image: y}\n")
    done = call("up", "--stack", "bad", "--project", str(tmp_path))
    assert done.exit_code == 1
    assert "2 problems" in done.output
    assert "Did you mean 'preset'?" in done.output
    assert not (tmp_path / "bad").exists()
    missing = call("up", "--stack", "other", "--project", str(tmp_path))
    assert "Stacks that have one: bad" in missing.output


def test_whoever_reads_the_ca_file_never_sees_half_of_it():
    one = daemon.Daemon("dev")
    one.paths.directory.mkdir(parents=True)
    one.trust("before")
    with one.ca_file.open() as reading:
        one.trust("after")
        assert reading.read() == "before"
    assert [file.read_text() for file in one.paths.directory.iterdir()] == ["after"]


def test_one_command_at_a_time_changes_a_stack(tmp_path):
    with daemon.Daemon("dev").exclusive():
        done = call("down", "--stack", "dev")
    assert done.exit_code == 1
    assert "another command" in done.output


def test_the_daemons_process_is_known_by_its_command_line(tmp_path):
    one = daemon.Daemon("dev")
    one.paths.directory.mkdir()
    (one.paths.directory / "supervisor.pid").write_text(str(os.getpid()))
    assert one._pid() is None, "a number that now belongs to somebody else is left alone"


def test_the_status_for_machines(tmp_path):
    status = report.build("dev", ANSWER, tmp_path / "ca.pem", complete=True)
    assert status["healthy"]
    assert {"stack", "url", "ca_file", "healthy", "servers"} <= set(status)
    (server,) = status["servers"]
    assert {"name", "roles", "address", "zone", "state", "database"} <= set(server)
    assert (server["database"]["role"], server["database"]["member_state"]) == ("primary", "ONLINE")
    json.dumps(status)
    assert not report.build("dev", ANSWER, tmp_path / "ca.pem", complete=False)["healthy"]


@pytest.mark.parametrize(
    "change",
    [{"state": "off"}, {"problem": "no disk"}, {"status": {"error": "no answer"}}, {"status": {"healthy": False}}],
    ids=str,
)
def test_one_unhealthy_server_makes_an_unhealthy_stack(tmp_path, change):
    answer = {**ANSWER, "servers": [SERVER, {**SERVER, **change}]}
    status = report.build("dev", answer, tmp_path / "ca.pem", complete=True)
    assert not status["healthy"]
    out = io.StringIO()
    report.show(status, Console(file=out, width=200))
    assert "not healthy" in out.getvalue()


def test_plain_progress_is_a_line_a_change():
    out = io.StringIO()
    with PlainDisplay(Console(file=out, width=80)) as display:
        display.phase("Running the program")
        display.event(Event(Step.CREATE, "aws:ec2/vpc:Vpc", "network-vpc", done=False))
        display.event(Event(Step.CREATE, "aws:ec2/vpc:Vpc", "network-vpc", done=True))
        display.event(Event(Step.SAME, "aws:ec2/vpc:Vpc", "other", done=True))
        display.say("[server-1] is ready")
    lines = [re.sub(r"^ *[0-9.]+s  ", "", line) for line in out.getvalue().splitlines()]
    assert lines == ["Running the program", "  + aws.ec2.Vpc network-vpc", "    [server-1] is ready"]


def test_types_are_shown_as_people_say_them():
    assert short("aws:ec2/vpc:Vpc") == "aws.ec2.Vpc"
    assert short("random:index/randomPassword:RandomPassword") == "random.RandomPassword"
    assert short("command:local:Command") == "command.local.Command"


def topology(preset):
    return build_topology(Settings.parse({"preset": preset}), stack="t", region="r", zones=["ra", "rb", "rc"])


def test_the_world_is_everybody():
    stack = topology("reference")
    one, two, three = stack.servers
    assert flows.declares(stack, "world", one, "tcp", 443)
    assert flows.declares(stack, two, one, "tcp", 443), "a server may go out to the world, and the world may come in"
    assert not flows.declares(stack, two, three, "tcp", 443)
    assert not flows.declares(stack, "world", two, "tcp", 8080)
    assert flows.declares(stack, one, two, "tcp", 8080)
    assert not flows.declares(stack, three, two, "tcp", 8080)


def test_every_pair_and_port_is_asked(monkeypatch):
    monkeypatch.setattr(flows, "listening", lambda name: {9999} if name == "ns-2" else set())
    stack = topology("reference")
    names = (
        {server.name: f"ns-{server.number}" for server in stack.servers}
        if hasattr(stack.servers[0], "number")
        else {server.name: f"ns-{index}" for index, server in enumerate(stack.servers, 1)}
    )
    asked = flows.questions(stack, {"server-1": "203.0.113.10"}, names)
    assert len({(one.source, one.destination) for one in asked}) == 9
    kinds = {(one.protocol, one.port) for one in asked}
    assert {("tcp", 22), ("tcp", 9999), ("tcp", 3306), ("vrrp", None)} <= kinds
    assert len(asked) == 9 * len(kinds)
    world = {one.destination: one.address for one in asked if one.source == "world"}
    assert world["server-1"] == "203.0.113.10"
    assert not any(one.declared for one in asked if one.source == "world" and one.destination != "server-1")


def test_a_difference_is_shown_and_counted():
    attempts = [
        Attempt("world", "server-1", "tcp", 443, True, Verdict.OPEN),
        Attempt("world", "server-1", "tcp", 80, True, Verdict.REFUSED),
        Attempt("world", "server-1", "tcp", 3306, False, Verdict.OPEN),
        Attempt("world", "server-1", "vrrp", None, False, Verdict.BLOCKED),
    ]
    out = io.StringIO()
    flows.show(attempts, Console(file=out, width=120))
    assert "! tcp 3306 from world to server-1 passes, and is declared nowhere" in out.getvalue()
    assert "4 attempts: 3 pass (1 to a port where nobody listens), 1 not as declared." in out.getvalue()
    assert [one.as_declared for one in attempts] == [True, True, False, True]


def test_the_topology_is_read_as_pulumi_would(tmp_path):
    (tmp_path / "Pulumi.yaml").write_text(
        "name: tripod\nruntime: python\nconfig:\n  preset: {type: string, default: active-passive}\n"
        "  networkCidr: {type: string, default: 10.30.0.0/16}\n"
    )
    (tmp_path / "Pulumi.t.yaml").write_text("config: {aws:region: eu-west-1, tripod:preset: reference}\n")
    stack = up.read_topology(tmp_path, "t")
    assert (stack.region, str(stack.network_cidr), len(stack.load_balancers)) == ("eu-west-1", "10.30.0.0/16", 1)


def test_messages_name_a_command_that_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert invocation() == ".venv/bin/python -m rehearsal"
    monkeypatch.chdir("/")
    assert invocation() == f"{tmp_path}/.venv/bin/python -m rehearsal"


@pytest.mark.parametrize("package", ["rehearsal", "operations"])
def test_a_python_without_the_packages_is_told_which_one_has_them(package):
    done = subprocess.run(
        [sys.executable, "-S", "-m", package, "--help"],
        cwd=Path(rehearsal.__file__).parent.parent,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f".venv/bin/python -m {package}" in done.stderr
    assert "Traceback" not in done.stderr
