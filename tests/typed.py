"""Commands as documents show them, checked against the programs that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import botocore.session
import click
from botocore import xform_name
from botocore.model import ServiceModel

from operations import cli
from rehearsal.cli import main as rehearsal
from userdata.host.__main__ import _parser

# What every command of the AWS CLI has beside its operation's own options.
AWS_OPTIONS = {"region", "query", "output"}
# Commands of the AWS CLI that are no operation of a service, with their options (AWS CLI, `aws logs tail help` ...).
AWS_OWN = {
    ("logs", "tail"): {"since", "follow", "format", "filter-pattern", "log-stream-names"},
    ("s3", "ls"): {"recursive", "summarize", "human-readable"},
    ("s3", "cp"): {"recursive"},
    ("ec2", "wait"): {"instance-ids"},
}
PULUMI = {"up", "destroy", "state", "stack", "preview", "config"}
ON_SERVERS = {"systemctl", "journalctl", "haproxy", "openssl", "df", "du", "systemd-cgtop", "cat", "nstat"}
ON_SERVERS |= {"mkdir", "find", "resize2fs", "mysql", "uname"}


def commands(text: str) -> Iterator[str]:
    """Every line of the blocks of code."""
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL):
        yield from (line.strip() for line in block.splitlines() if line.strip())


def check(line: str) -> None:
    """Raise when a command of the runbook cannot be typed like this."""
    words = shlex.split(line)
    if words[:2] == [".venv/bin/python", "-m"]:
        check_python(words[2:])
    elif words[:2] == [".venv/bin/python", "-c"]:
        # tests/operations/test_runbook.py runs it.
        assert words[2].startswith("import boto3; "), line
    elif words[0] == "aws":
        check_aws(words[1:])
    elif words[0] == "tripod":
        _parser().parse_args(words[1:])
    elif words[0] == "pulumi":
        assert words[1] in PULUMI, line
        assert words[1] != "stack" or words[2].startswith("--") or words[2] in ("rm", "output"), line
        # Whichever stack happens to be selected is not the one that burns.
        assert "--stack" in words, line
    elif words[0] == "amtool":
        check_amtool(words[1:])
    elif words[0] == "export":
        assert re.fullmatch(r"AWS_REGION=[a-z0-9-]+", words[1]), line
    elif words[0] == "PYTHONPATH=/usr/local/lib/tripod":
        assert words[1:] == ["python3", "-m", "host.group", "lead", "--accept-loss"]
    else:
        assert words[0] in ON_SERVERS, line


def check_python(words: list[str]) -> None:
    """`operations` or `rehearsal`, its command, and the command's arguments."""
    module, name, *arguments = words
    # An archive that the reader makes is not here.
    arguments = [__file__ if argument.endswith(".tar.gz") else argument for argument in arguments]
    group = {"operations": cli.main, "rehearsal": rehearsal}[module]
    command = group.commands[name]
    if command.name in ("backup",):
        command, arguments = command.commands[arguments[0]], arguments[1:]  # type: ignore[attr-defined]
    with suppress(click.exceptions.Exit):  # an option that says something and ends, such as --list
        command.make_context(name, arguments)


def check_amtool(words: list[str]) -> None:
    """A silence: of what, for how long, and the words that Alertmanager asks for (`amtool silence add --help`)."""
    url, command, what, matcher, *options = words
    assert re.fullmatch(r"--alertmanager\.url=http://[0-9.]+:9093", url), url
    assert (command, what) == ("silence", "add")
    assert re.fullmatch(r"(alertname|server)=[\w-]+", matcher), matcher
    assert {option.partition("=")[0] for option in options} == {"--duration", "--author", "--comment"}


@cache
def service_model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def check_aws(words: list[str]) -> None:
    """Service, operation and options of the AWS CLI, by botocore's description of the service."""
    service, operation, *options = words
    own = AWS_OWN.get((service, operation))
    assert own is not None or service != "s3", f"aws s3 {operation}"
    # The CLI has S3's operations under a name of their own, and commands of its own under that of the service.
    model = "s3" if service == "s3api" else service
    known = AWS_OPTIONS | (_options(model, operation) if own is None else own)
    for option in options:
        if option.startswith("--"):
            assert option.removeprefix("--").removeprefix("no-") in known, f"aws {service} {operation} {option}"


def _options(service: str, operation: str) -> set[str]:
    model = service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in operations, f"aws {service} {operation}"
    shape = model.operation_model(operations[operation]).input_shape
    return {xform_name(name, "-") for name in (shape.members if shape else {})}
