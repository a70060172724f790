"""The commands `backup` and `restore` of `python -m operations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from operations import options
from operations.backups import restore_copy, restore_stack, worker
from operations.command import Runner
from operations.deadline import Deadline
from operations.fleet import Fleet
from operations.jobs import run_job
from operations.progress import Progress
from operations.tables import console, terminal_table

Open = Callable[[str, str | None], tuple[Fleet, Runner]]

_server = click.option("--server", metavar="NAME", help="The server that does it. Default: a replica.")
_SIX_HOURS = 21600
_timeout = options.timeout(_SIX_HOURS, "Deadline.")


def register(main: click.Group, open_stack: Open) -> None:
    """Add the commands to `main`; `open_stack` finds a stack and the way to its servers."""

    @main.group()
    def backup() -> None:
        """Backups of the database in S3."""

    def job(command: str, stack: str, region: str | None, server: str | None, timeout: float) -> dict[str, Any]:
        fleet, runner = open_stack(stack, region)
        chosen = worker(runner, fleet, server)
        return run_job(runner, chosen, Progress(click.echo), Deadline(timeout), command, gentle=command != "list")

    @backup.command()
    @options.stack
    @options.region
    @_server
    @_timeout
    def now(stack: str, region: str | None, server: str | None, timeout: float) -> None:
        """Make a backup now."""
        made = job("now", stack, region, server, timeout)
        click.echo(f"Backup {made['id']}, {made['size'] / 1e6:.1f} MB compressed, holds {made['gtids']}.")

    @backup.command(name="list")
    @options.stack
    @options.region
    @_server
    def show(stack: str, region: str | None, server: str | None) -> None:
        """The newest 100 backups, how many there are, and how far the binary logs reach."""
        found = job("list", stack, region, server, 300)
        rows = [[one["id"], one["server"], one["at"], f"{one['size'] / 1e6:.1f} MB"] for one in found["backups"]]
        title = f"Backups of stack {stack}, timeline {found['timeline']}"
        console().print(terminal_table(title, ["backup", "made by", "at", "size"], rows))
        if found["count"] > len(found["backups"]):
            click.echo(f"These are the newest {len(found['backups'])} of {found['count']} backups.")
        click.echo(f"{found['logs']} binary logs, until {found['until'] or 'none yet'}.")

    @backup.command()
    @options.stack
    @options.region
    @_server
    @_timeout
    def verify(stack: str, region: str | None, server: str | None, timeout: float) -> None:
        """Read every backup and binary log and compare digests; look for gaps."""
        found = job("verify", stack, region, server, timeout)
        click.echo(f"{found['objects']} objects, {found['bytes'] / 1e6:.1f} MB: all as they were sent, without a gap.")

    @backup.command()
    @options.stack
    @options.region
    @_server
    @_timeout
    def drill(stack: str, region: str | None, server: str | None, timeout: float) -> None:
        """Restore the newest backup and its logs beside the database, and compare every table."""
        found = job("drill", stack, region, server, timeout)
        click.echo(
            f"Backup {found['backup']} and its logs were restored in {found['restore_seconds']:.0f} s: "
            f"{found['tables']} tables, {found['rows']} rows, all as on {found['server']} at {found['gtids']}."
        )

    _register_restore(main, open_stack)


def _register_restore(main: click.Group, open_stack: Open) -> None:
    @main.command()
    @options.stack
    @options.region
    @_server
    @options.timeout(_SIX_HOURS, "Deadline of the copy; with --confirm, what follows it has as long again.")
    @click.option(
        "--to",
        metavar="TIME",
        callback=options.moment,
        help='To the last commit at or before this, as "2026-11-23T10:15:00Z".',
    )
    @click.option("--to-gtid", metavar="GTIDS", help="To this transaction, included.")
    @click.option("--latest", is_flag=True, help="To the last transaction in the bucket.")
    @click.option("--into", metavar="NAME", help="Into a scratch directory of this name on the server.")
    @click.option("--confirm", metavar="STACK", help="Replace the data of the stack itself; its name once more.")
    def restore(
        *,
        stack: str,
        region: str | None,
        server: str | None,
        timeout: float,
        to: str | None,
        to_gtid: str | None,
        latest: bool,
        into: str | None,
        confirm: str | None,
    ) -> None:
        """Restore the database to a moment or a transaction: into a scratch directory, or the stack itself."""
        if [to is not None, to_gtid is not None, latest].count(True) != 1:
            raise click.UsageError("Give one of --to, --to-gtid and --latest.")
        if (into is None) == (confirm is None):
            raise click.UsageError(
                "Give --into NAME for a scratch copy, or --confirm STACK to replace the stack's data."
            )
        if confirm is not None and confirm != stack:
            raise click.UsageError(f"--confirm says '{confirm}', but the stack is '{stack}'. Nothing was done.")
        words = ("--to", to) if to else ("--to-gtid", to_gtid) if to_gtid else ()
        fleet, runner = open_stack(stack, region)
        chosen = worker(runner, fleet, server)
        progress, deadline = Progress(click.echo), Deadline(timeout)
        if into is not None:
            done = restore_copy(runner, fleet, progress, deadline, chosen, into, words, gentle=True)
            click.echo(f"Restored on {chosen.name} into {done['directory']}: {done['text']}.")
        else:
            done = restore_stack(runner, fleet, progress, deadline, chosen, words)
            click.echo(
                f"Restored stack '{stack}': {done['text']}. Writable again {done['writable_after']:.0f} s after the "
                f"command was given, all members ONLINE after {done['whole_after']:.0f} s."
            )
            for name, reason in done["replicas"].items():
                click.echo(
                    f"{name}, a read replica, was not emptied ({reason}). It must not go on with the data of before: "
                    f".venv/bin/python -m operations runbook --stack {stack} replica-behind"
                    if reason
                    else f"{name}, a read replica, starts empty and clones what is restored."
                )
        click.echo(f"It holds {done['gtids']}.")
