"""`up`: from a stack's files to a running stack that was verified, or to one clear message."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from rehearsal import account, configuration, image, report, requirements
from rehearsal.confinement import confined, warning
from rehearsal.daemon import Daemon
from rehearsal.display import Display, choose
from rehearsal.distribution import chosen
from rehearsal.paths import invocation
from rehearsal.shell import RehearsalError
from topology.model import Topology
from topology.problems import ConfigurationError
from topology.reading import read_configuration

JOURNAL_LINES = 15
SETTLE_TIMEOUT = 60.0
SETTLE_INTERVAL = 1.0

HTTPS_PORT = 8443
HTTP_PORT = 8080
PAGE_PORT = 8444


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Ports None: those of the running stack, else the usual ones; `http_port` and `page_port` 0 are none.
    """

    stack: str
    project: Path
    https_port: int | None = None
    http_port: int | None = None
    page_port: int | None = None
    artifact: Path | None = None
    """What stands for the application's artifact in the emulated S3; None where it is there already."""
    distribution: str | None = None
    """What new hosts run; None: what those of the running stack do, else TRIPOD_DISTRIBUTION's, else Debian."""
    pid: int | None = None
    """The process that the stack must not outlive; None: it runs until it is ended."""


def read_topology(project: Path, stack: str) -> Topology:
    """The topology of a stack's files. Raises RehearsalError with every fault in them."""
    file = configuration.load(project, stack)
    try:
        return read_configuration(file.config, stack).topology
    except ConfigurationError as error:
        raise RehearsalError(str(error)) from error


def up(request: Request, out: Console) -> None:
    """Start the stack, or apply its files to the running one. Raises RehearsalError; cleans up on Ctrl-C."""
    problems = requirements.missing(chosen(request.distribution))
    if problems:
        raise RehearsalError("The rehearsal cannot run here:\n" + "\n".join(f"  - {one}" for one in problems))
    _check_ports(request)
    if request.pid is not None and not Path("/proc", str(request.pid)).is_dir():
        raise RehearsalError(f"--pid: there is no process {request.pid} that the stack could end with")
    daemon = Daemon(request.stack)
    # Before anything else: a faulty configuration is told at once and leaves nothing behind.
    topology = read_topology(request.project, request.stack)
    with daemon.exclusive(), _interruptible(), choose() as display:
        fresh = not daemon.running
        account.check(topology, request.artifact, fresh=fresh)
        if not fresh:
            _check_unchanged(daemon, request, topology)
        try:
            if fresh:
                _start(daemon, request, topology, display)
            daemon.ask("draw", project=str(request.project))
            display.phase("Running the program")
            _run_program(daemon, request, topology, display)
            display.phase("Asking the servers")
            status = _settled(daemon)
        except KeyboardInterrupt:
            if fresh:
                display.phase("Interrupted: removing everything")
                daemon.end()
            raise
        except RehearsalError as error:
            raise RehearsalError(f"{error}{_aftermath(daemon, created=daemon.state.exists())}") from error
    report.show(status, out)
    report.next_steps(status, out)
    if not status["healthy"]:
        raise RehearsalError("The program ran to its end, but not every server is healthy (see above).")


def _check_ports(request: Request) -> None:
    """Raise RehearsalError when one port is to do two things."""
    usual = {"--port": HTTPS_PORT, "--http-port": HTTP_PORT, "--page-port": PAGE_PORT}
    asked = {"--port": request.https_port, "--http-port": request.http_port, "--page-port": request.page_port}
    options: dict[int, list[str]] = {}
    for option, port in asked.items():
        options.setdefault(usual[option] if port is None else port, []).append(option)
    twice = [f"{' and '.join(names)} are both {port}" for port, names in options.items() if port and len(names) > 1]
    if twice:
        raise RehearsalError(f"{'; '.join(twice)}: choose a port of its own for each")


def _start(daemon: Daemon, request: Request, topology: Topology, display: Display) -> None:
    # Not at the top: it brings moto, half a second that `status` and `exec` do without.
    from rehearsal.supervisor import Options  # noqa: PLC0415

    display.phase("Preparing")
    daemon.end()  # what a crash left
    if programs := confined():
        display.say(warning(programs))
    display.phase("Getting the image of the hosts")
    distribution = chosen(request.distribution)
    root = image.ensure(display.say, distribution=distribution)
    display.phase("Starting the emulated AWS and the network")
    daemon.start(
        Options(
            stack=request.stack,
            region=topology.region,
            network_cidr=str(topology.network_cidr),
            image=str(root),
            distribution=distribution.name,
            https_port=HTTPS_PORT if request.https_port is None else request.https_port,
            http_port=HTTP_PORT if request.http_port is None else request.http_port,
            page_port=PAGE_PORT if request.page_port is None else request.page_port,
            until_pid=request.pid or 0,
        ),
        meanwhile=_warm_up,
    )


def _warm_up() -> None:
    """Import what the program needs and takes a second to import."""
    importlib.import_module("pulumi_aws")
    importlib.import_module("rehearsal.program")


def _check_unchanged(daemon: Daemon, request: Request, topology: Topology) -> None:
    """What a running rehearsal cannot change: its ports, its region, its network and its distribution."""
    answer = daemon.ask("ping")
    wanted = {
        "https_port": request.https_port,
        "http_port": request.http_port,
        "page_port": request.page_port,
        "region": topology.region,
        "network_cidr": str(topology.network_cidr),
        "distribution": request.distribution,
        "until_pid": request.pid,
    }
    different = [
        f"{key} {answer.get(key)} -> {value}" for key, value in wanted.items() if value not in {None, answer.get(key)}
    ]
    if different:
        raise RehearsalError(
            f"stack '{request.stack}' runs already, and this needs it to start anew ({', '.join(different)}): "
            f"{invocation()} down --stack {request.stack}"
        )


def _run_program(daemon: Daemon, request: Request, topology: Topology, display: Display) -> None:
    import pulumi  # noqa: PLC0415  (a second; only `up` needs it)

    from rehearsal import program  # noqa: PLC0415
    from rehearsal.resources import Aws  # noqa: PLC0415

    os.chdir(request.project)  # as Pulumi does
    endpoint = daemon.ask("ping")["endpoint"]
    client = Aws(endpoint, topology.region, request.project, display.say).client
    provided = account.provide(topology, client, request.artifact)
    try:
        result = program.run(request.project, request.stack, endpoint, daemon.state, display.event, display.say)
    except RehearsalError:
        raise
    except pulumi.RunError as error:
        raise RehearsalError(str(error)) from error
    except Exception as error:
        log = daemon.paths.directory / "program.log"
        log.write_text("".join(traceback.format_exception(error)))
        raise RehearsalError(f"the program failed: {type(error).__name__}: {error} (details: {log})") from error
    certificate = result.outputs.get("caCertificate")
    if certificate:
        daemon.trust(certificate.rstrip() + "\n" + provided)


def _status(daemon: Daemon) -> report.Status:
    return report.build(daemon.stack, daemon.ask("status"), daemon.ca_file, complete=daemon.complete)


def _settled(daemon: Daemon) -> report.Status:
    """The status once it is healthy, or what it still is when the time is over.

    The program has seen every server healthy a moment ago: on a machine that is short of processors one may be too
    slow to answer just now, and that is no failure.
    """
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while not (status := _status(daemon))["healthy"] and time.monotonic() < deadline:
        time.sleep(SETTLE_INTERVAL)
    return status


def _aftermath(daemon: Daemon, *, created: bool) -> str:
    """What a failed `up` leaves: journals of the servers that are not ready, or nothing at all."""
    if not daemon.running:
        return ""
    if not created:
        daemon.end()
        return "\nNothing was created."
    parts = [""]
    for server in _status(daemon)["servers"]:
        if not server["healthy"]:
            journal = daemon.ask("journal", server=server["name"], lines=JOURNAL_LINES)["text"]
            parts.append(f"--- {server['name']} ({server['state']}): {'; '.join(server['problems']) or 'not ready'}")
            parts.append(journal.strip())
    parts.append(
        f"\nThe stack is still there to be looked at: {invocation()} status|exec|logs --stack {daemon.stack}. "
        f"Mend it and run up again, or end it: {invocation()} down --stack {daemon.stack}"
    )
    return "\n".join(parts)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and let both end the command that the program waits for."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        loaded = sys.modules.get("rehearsal.resources.command")
        if loaded is not None:
            loaded.end_all()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
