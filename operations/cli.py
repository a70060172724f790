"""`python -m operations`: the commands. Every error is one message and exit code 1; wrong usage is exit code 2."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import click

from operations import configuration, options, shell, site, status
from operations.aws import Aws
from operations.backup_cli import register
from operations.command import Runner, SsmRunner
from operations.deadline import Deadline
from operations.errors import OperationError, RegionError
from operations.explain import explain as print_card
from operations.fleet import Fleet, find_fleet
from operations.flow_table import HEADERS as FLOW_HEADERS
from operations.flow_table import flow_rows
from operations.logs import parse_since, read_logs
from operations.progress import Progress
from operations.rollout import Rollout
from operations.runbook import book
from operations.state import desired_digests, parse_digests
from operations.survey import survey
from operations.switchover import switchover as hand_over
from operations.tables import console, markdown_table, terminal_table
from operations.targets import Targets
from operations.verify import Verification
from topology import ports
from topology.names import Log, Role


class Commands(click.Group):
    """Turns the errors of commands into messages."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException for what is wrong outside this program."""
        try:
            return super().invoke(ctx)
        except OperationError as error:
            raise click.ClickException(str(error)) from error


def make_runner(aws: Aws) -> Runner:
    """How commands reach servers; tests put a runner of their own here."""
    return SsmRunner(aws)


def _checked(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    # Pulumi sets an environment variable to "" when it has nothing to say.
    if text:
        parse_digests(text)
    return text or None


_digests = click.option(
    "--expected-digests",
    callback=_checked,
    envvar="TRIPOD_EXPECTED_DIGESTS",
    metavar="JSON",
    help="Digests {server: digest}. Default: those of the manifests in the stack's bucket.",
)
_timeout = options.timeout(900, "Overall deadline.")
_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=configuration.PROJECT_DIRECTORY,
    metavar="PATH",
    help="Where Pulumi.NAME.yaml is. Default: this project.",
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Day-2 commands on a deployed stack."""


@main.command()
@options.stack
@options.region
@_timeout
@_digests
@click.option("--url", envvar="TRIPOD_URL", metavar="URL", help="The site's URL, for the name to ask for.")
@click.option("--path", default="/", show_default=True, metavar="PATH", help="The page to ask for.")
@click.option("--from-here", is_flag=True, help="Ask the URL from this machine too.")
def verify(
    *,
    stack: str,
    region: str | None,
    timeout: float,
    expected_digests: str | None,
    url: str | None,
    path: str,
    from_here: bool,
) -> None:
    """Wait until the stack is healthy; roll out where a server has another bundle."""
    if from_here and not url:
        raise click.UsageError("--from-here needs --url.")
    if not path.startswith("/"):
        raise click.UsageError(f"--path is the page's path and begins with '/': '{path}' does not.")
    host = site.host_of(url or None)
    deadline = Deadline(timeout)
    aws, fleet, runner = _open(stack, region)
    expected = _expected(aws, fleet, expected_digests)
    Verification(
        aws, runner, fleet, Progress(click.echo), deadline, expected, host, path, url if from_here else None
    ).run()
    click.echo(f"Stack '{stack}' is healthy ({deadline.elapsed:.0f} s).")


@main.command(name="status")
@options.stack
@options.region
@_digests
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def show_status(stack: str, region: str | None, expected_digests: str | None, as_json: bool) -> None:
    """Servers, roles, state, bundle, database role, and what is wrong. Exit code 1 when the stack is not healthy."""
    aws, fleet, runner = _open(stack, region)
    expected = _expected(aws, fleet, expected_digests)
    unserved, reason = Targets(aws, stack).of_fleet(fleet)
    if reason is not None:
        click.echo(f"Note: {reason}", err=True)
    seen = survey(runner, fleet)
    observations = {name: replace(one, unserved=unserved.get(name, ())) for name, one in seen.items()}
    found = status.problems(fleet, observations, expected)
    if as_json:
        click.echo(json.dumps(status.document(fleet, observations, expected), indent=2))
    else:
        rows = status.rows(fleet, observations, expected)
        console().print(terminal_table(f"Stack {stack}", status.HEADERS, rows, status.WHOLE))
        for problem in found:
            click.echo(f"- {problem}")
        click.echo("Not healthy." if found else "Healthy.")
    if found:
        raise click.exceptions.Exit(1)


@main.command()
@options.stack
@options.region
@_timeout
@_digests
@click.option("--server", "names", multiple=True, metavar="NAME", help="Only this server; may be given several times.")
@click.option(
    "--without-waiting",
    is_flag=True,
    help="Also while another member of the database group is away: writes may stop while one restarts.",
)
def apply(
    *,
    stack: str,
    region: str | None,
    timeout: float,
    expected_digests: str | None,
    names: tuple[str, ...],
    without_waiting: bool,
) -> None:
    """Roll the bundles out, server by server: replicas first, the primary last."""
    deadline = Deadline(timeout)
    aws, fleet, runner = _open(stack, region)
    servers = tuple(fleet.server(name) for name in names) or fleet.servers
    expected = _expected(aws, fleet, expected_digests)
    progress, patience = Progress(click.echo), not without_waiting
    done = Rollout(runner, fleet, Targets(aws, stack), progress, deadline, patience).run(servers, expected)
    click.echo(f"Applied on {', '.join(done)}.")


@main.command()
@options.stack
@options.region
@click.option("--to", metavar="SERVER", help="The new primary. Default: the replica that is least behind.")
@click.option(
    "--drain",
    type=click.IntRange(0, 3600),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How long running transactions may take to end.",
)
@options.timeout(120)
def switchover(stack: str, region: str | None, to: str | None, drain: int, timeout: float) -> None:
    """Make another member of the database group the primary, as planned work."""
    _, fleet, runner = _open(stack, region)
    done = hand_over(runner, fleet, Progress(click.echo), Deadline(timeout), to=to, drain=drain)
    if done is None:
        click.echo(f"{to} is the primary already; nothing was done.")
        return
    gap = "not seen" if done.gap_ms is None else f"{done.gap_ms:.0f} ms"
    click.echo(f"{done.new} is the primary now (before: {done.old}). Time without a writer: {gap}.")


@main.command()
@options.stack
@_directory
def explain(stack: str, directory: Path) -> None:
    """Draw the stack, list its flows, and say what each single failure does. Needs no AWS."""
    print_card(configuration.load_topology(stack, directory), console())


@main.command()
@options.stack
@_directory
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
def flows(stack: str, directory: Path, markdown: bool) -> None:
    """The firewall: who may talk to whom. Needs no AWS."""
    rows = flow_rows(configuration.load_topology(stack, directory))
    if markdown:
        click.echo(markdown_table(FLOW_HEADERS, rows), nl=False)
    else:
        console().print(terminal_table(f"Flows of stack {stack} (all others are closed)", FLOW_HEADERS, rows))


@main.command()
@options.stack
@_directory
@click.argument("entry", required=False)
def runbook(stack: str, directory: Path, entry: str | None) -> None:
    """What to do when something breaks, with the stack's own names: all of it, or one ENTRY.

    ENTRY is a name of the runbook, or of an alert, a CloudWatch alarm or a drill. Needs no AWS.
    """
    topology = configuration.load_topology(stack, directory)
    click.echo(book.alone(topology, entry) if entry else book.book(topology), nl=False)


@main.command()
@options.stack
@options.region
@click.option("--server", metavar="NAME", help="Of this server only.")
@click.option("--since", default="10m", show_default=True, metavar="TIME", help="Such as 90s, 10m, 2h or 7d.")
@click.argument("log", type=click.Choice([log.value for log in Log]))
def logs(stack: str, region: str | None, server: str | None, since: str, log: str) -> None:
    """What HAProxy or MySQL logged, or what applies changed (audit), as CloudWatch Logs has it."""
    try:
        span = parse_since(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    for line in read_logs(_aws(stack, region), stack, Log(log), span, server):
        click.echo(line.text)


@main.command(name="shell")
@options.stack
@options.region
@click.option("--print", "only_print", is_flag=True, help="Print the command instead of running it.")
@click.argument("server")
def open_shell(stack: str, region: str | None, only_print: bool, server: str) -> None:
    """Open a shell on SERVER through Session Manager."""
    aws = _aws(stack, region)
    target = find_fleet(aws, stack).server(server)
    command = shell.session_command(target, aws.region)
    if only_print:
        click.echo(shlex.join(command))
        return
    shell.open_session(target, command)


@main.command()
@options.stack
@options.region
@click.option("--port", type=click.IntRange(1, 65535), default=ports.PROMETHEUS, show_default=True, help="Port here.")
@click.option("--print", "only_print", is_flag=True, help="Print the command instead of running it.")
def dashboard(stack: str, region: str | None, port: int, only_print: bool) -> None:
    """Lead a port of this machine to a monitoring server's Prometheus, and say where its page is."""
    aws = _aws(stack, region)
    monitors = [one for one in find_fleet(aws, stack).servers if Role.MONITORING in one.roles]
    target = next((one for one in monitors if one.state == "running"), None)
    if target is None:
        raise OperationError(f"no monitoring server of stack '{stack}' is running")
    command = shell.forward_command(target, aws.region, ports.PROMETHEUS, port)
    if only_print:
        click.echo(shlex.join(command))
        return
    click.echo(f"{target.name}: http://127.0.0.1:{port}/consoles/tripod.html (until Ctrl-C)")
    shell.open_session(target, command)


def _open(stack: str, region: str | None) -> tuple[Aws, Fleet, Runner]:
    aws = _aws(stack, region)
    return aws, find_fleet(aws, stack), make_runner(aws)


def _aws(stack: str, region: str | None) -> Aws:
    try:
        return Aws(region)
    except RegionError:
        return Aws(configuration.region_of(stack))


def _expected(aws: Aws, fleet: Fleet, given: str | None) -> dict[str, str]:
    expected, reason = desired_digests(aws, fleet, given)
    if reason is not None:
        click.echo(f"Note: {reason}", err=True)
    return expected


def _open_stack(stack: str, region: str | None) -> tuple[Fleet, Runner]:
    _, fleet, runner = _open(stack, region)
    return fleet, runner


register(main, _open_stack)
