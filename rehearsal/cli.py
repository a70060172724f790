"""`python -m rehearsal`: run a stack on this machine, look into it, break it, end it."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import click
from rich.console import Console

from rehearsal import report
from rehearsal.daemon import ROOT, Daemon
from rehearsal.distribution import DEBIAN, DISTRIBUTIONS, VARIABLE
from rehearsal.drills import cli as drills
from rehearsal.notifications import Notification, Notifications
from rehearsal.shell import RehearsalError
from rehearsal.state import State

INTERRUPTED = 130

FAULTS = {
    "cut": ("SERVER", {1}),
    "block": ("SERVER SERVER [PROTOCOL]", {2, 3}),
    "netem": ("SERVER LOSS DELAY", {3}),
    "heal": ("[SERVER]", {0, 1}),
}
"""Fault -> its arguments, and how many there may be."""


class Failure(click.ClickException):
    """One clear message on standard error, exit code 1."""

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print the message as it is."""
        click.echo(click.style("error: ", fg="red", bold=True) + self.message, err=True)


class Commands(click.Group):
    """Commands whose RehearsalErrors are messages, not tracebacks."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except RehearsalError as error:
            raise Failure(str(error)) from error
        except PermissionError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise Failure(f"permission denied{where}: rehearsals belong to root, run this as root") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # a reader that had enough, such as head
                raise
            raise Failure(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)


def _daemon(_: click.Context, __: click.Parameter, stack: str) -> Daemon:
    if "/" in stack.strip("./"):
        raise click.BadParameter(f"give the stack's short name: '{stack.rstrip('/').rsplit('/', 1)[-1]}'.")
    try:
        return Daemon(stack)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


STACK = click.option(
    "--stack",
    "daemon",
    required=True,
    metavar="NAME",
    callback=_daemon,
    help="Name of the stack: the NAME of Pulumi.NAME.yaml.",
)


@click.group(cls=Commands)
def main() -> None:
    """Run a stack on this machine: the real program and real hosts on an emulated AWS."""


@main.command()
@STACK
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of 127.0.0.1 that leads to the site.  [default: 8443]"
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    help="The same for plain HTTP, which redirects; 0 for none.  [default: 8080]",
)
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT,
    help="Directory of the Pulumi program.",
)
@click.option(
    "--page-port",
    type=click.IntRange(0, 65535),
    help="Port of 127.0.0.1 with the live page of the stack; 0 for none.  [default: 8444]",
)
@click.option(
    "--artifact",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The .tar.gz of the stack's own application, which is in no bucket here.",
)
@click.option(
    "--distribution",
    type=click.Choice(sorted(DISTRIBUTIONS)),
    help=f"What the hosts run: {'; '.join(f'{one.name} is {one.what}' for one in DISTRIBUTIONS.values())}.  "
    f"[default: {VARIABLE} of the environment, else {DEBIAN.name}]",
)
@click.option(
    "--pid", type=click.IntRange(1), help="End the stack when this process ends, as `tail --pid` does: for a CI job."
)
def up(
    daemon: Daemon,
    port: int | None,
    http_port: int | None,
    project: Path,
    page_port: int | None,
    artifact: Path | None,
    distribution: str | None,
    pid: int | None,
) -> None:
    """Start a stack and wait until it is verified healthy; on a running stack apply what changed."""
    from rehearsal import up as starting  # noqa: PLC0415  (brings the topology and Pulumi)

    request = starting.Request(
        daemon.stack, project.resolve(), port, http_port, page_port, artifact and artifact.resolve(), distribution, pid
    )
    starting.up(request, Console())


@main.command()
@STACK
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(daemon: Daemon, as_json: bool) -> None:
    """Show servers, roles and health. Exit code 1 when the stack is not healthy."""
    found = report.build(daemon.stack, daemon.ask("status"), daemon.ca_file, complete=daemon.complete)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        report.show(found, Console())
    sys.exit(0 if found["healthy"] else 1)


@main.command()
@STACK
@click.argument("server", required=False)
@click.option("--unit", help="Of one unit only, such as mysql.service.")
@click.option("--lines", type=click.IntRange(min=1), default=200, show_default=True, help="How many lines.")
def logs(daemon: Daemon, server: str | None, unit: str | None, lines: int) -> None:
    """Print the journal of SERVER; without SERVER, the log of the rehearsal itself."""
    if server is None:
        if not daemon.log.exists():
            daemon.ask("ping")
        click.echo("\n".join(daemon.log.read_text(errors="replace").splitlines()[-lines:]))
        return
    click.echo(daemon.ask("journal", server=server, unit=unit, lines=lines)["text"], nl=False)


@main.command()
@STACK
@click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object a line.")
@click.option("--follow", is_flag=True, help="Go on with those that come, until Ctrl-C or the stack's end.")
def alerts(daemon: Daemon, as_json: bool, follow: bool) -> None:
    """Print what was published to the stack's topics: alerts of the hosts and CloudWatch alarms."""
    daemon.ask("ping")
    file = Notifications(daemon.paths.directory)
    for one in file.follow(lambda: not daemon.running) if follow else file.read():
        click.echo(json.dumps(one.document) if as_json else _shown(one))


def _shown(one: Notification) -> str:
    alarm = one.alarm
    text = str(alarm["AlarmDescription"]) if alarm else one.message.strip()
    return f"{one.at}  {one.subject}\n" + "".join(f"    {line}\n" for line in text.splitlines())


@main.command(context_settings={"ignore_unknown_options": True})
@STACK
@click.argument("server")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def exec(daemon: Daemon, server: str, command: tuple[str, ...]) -> None:  # noqa: A001  (name of the command)
    """Run COMMAND on SERVER as root, on this terminal; its exit code is this command's. Without one, a shell."""
    from rehearsal.host_process import shell  # noqa: PLC0415

    names = [one["name"] for one in daemon.ask("instances")["servers"]]
    if server not in names:
        raise RehearsalError(f"there is no server '{server}'; servers: {', '.join(names) or 'none'}")
    sys.exit(shell(daemon.stack, server, command or ("bash", "-l")))


@main.command()
@STACK
def down(daemon: Daemon) -> None:
    """End a stack and remove everything of it from this machine, its data included."""
    there = daemon.paths.directory.exists()
    with daemon.exclusive():
        daemon.end()
    click.echo(
        f"Stack '{daemon.stack}' is gone." if there else f"There was nothing of stack '{daemon.stack}'.", err=True
    )


def _power(name: str, text: str) -> None:
    @main.command(name=name, help=text)
    @STACK
    @click.argument("servers", nargs=-1, required=True)
    def command(daemon: Daemon, servers: tuple[str, ...]) -> None:
        daemon.ask("power", servers=list(servers), action=name, timeout=120)


_power("kill", "Cut the power of SERVERS, all at the same moment.")
_power("stop", "Shut SERVERS down in order.")
_power("start", "Switch SERVERS on.")


@main.command()
@STACK
@click.argument("server")
@click.option("--empty", is_flag=True, help="With an empty data volume, too: its data is gone.")
def recreate(daemon: Daemon, server: str, empty: bool) -> None:
    """Put a new machine in the place of SERVER, as if its instance had been created anew."""
    daemon.ask("recreate", server=server, empty=empty, timeout=120)


@main.command()
@STACK
@click.argument("resources", nargs=-1, required=True)
def unprotect(daemon: Daemon, resources: tuple[str, ...]) -> None:
    """Let RESOURCES (such as server-4-data) be deleted by the next `up`, as `pulumi state unprotect` does."""
    daemon.ask("ping")
    with daemon.exclusive():
        State.load(daemon.state).unprotect(resources)


@main.command()
@STACK
@click.argument("action", type=click.Choice(list(FAULTS)))
@click.argument("arguments", nargs=-1)
def fault(daemon: Daemon, action: str, arguments: tuple[str, ...]) -> None:
    """Break the network: cut SERVER, block SERVER SERVER [PROTOCOL], netem SERVER LOSS DELAY, heal [SERVER].

    PROTOCOL is tcp, udp, icmp, all or a number; LOSS is a share of packets from 0 to below 1, DELAY is in seconds.
    """
    usage, counts = FAULTS[action]
    if len(arguments) not in counts:
        raise click.UsageError(f"it is: fault {action} {usage}".rstrip())
    if action == "netem":
        try:
            for number in arguments[1:]:
                float(number)
        except ValueError:
            raise click.UsageError(f"LOSS and DELAY are numbers, not {' and '.join(arguments[1:])}") from None
    daemon.ask("fault", action=action, arguments=list(arguments))


@main.command()
@STACK
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT,
    help="Directory of the Pulumi program.",
)
def flows(daemon: Daemon, as_json: bool, project: Path) -> None:
    """Try every source x port x server and compare with the table of flows. Exit code 1 on a difference."""
    from rehearsal import flows as trying  # noqa: PLC0415
    from rehearsal.up import read_topology  # noqa: PLC0415

    daemon.ask("ping")
    attempts = trying.try_all(daemon, read_topology(project, daemon.stack))
    if as_json:
        click.echo(json.dumps([attempt.document for attempt in attempts], indent=2))
    else:
        trying.show(attempts, Console())
    sys.exit(0 if all(attempt.as_declared for attempt in attempts) else 1)


drills.add_to(main, STACK)
