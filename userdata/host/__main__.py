"""The command `tripod` on a server: boot, apply, passwords, status, ready, volume."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import apply, boot, lock, ready, state, status, volume
from .aws import Client
from .errors import StepError
from .identity import PATH, Identity
from .system import System


def client(service: str, identity: Identity) -> Client:
    """A client that gives up in time for a deadline of its caller."""
    retries = {"max_attempts": 5, "mode": "standard"}
    return Client(service, identity.region, connect_timeout=5, read_timeout=20, retries=retries)


def hand_over(staging: Path, expect: str, descriptor: int) -> None:
    """Let the staged host programs go on with the staged tree; does not return."""
    programs = staging / apply.PROGRAMS.lstrip("/")
    environment = {**os.environ, "PYTHONPATH": str(programs.parent), lock.LOCK_FD: str(descriptor)}
    os.set_inheritable(descriptor, True)
    arguments = ["apply", "--staged", str(staging)] + (["--expect", expect] if expect else [])
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", "host", *arguments], environment)  # noqa: S606


def _apply(system: System, identity: Identity, staged: Path | None, expect: str | None) -> int:
    s3, ssm = client("s3", identity), client("ssm", identity)
    try:
        outcome = apply.Apply(system, identity, s3, ssm, hand_over, expect).run(staged)
    except StepError as error:
        if error.step != "lock":
            line = error.line(identity.server)
            state.remember(system, digest=None, error=line)
            state.report(ssm, identity, "apply", ok=False, digest=state.recall(system)["digest"], error=line)
        raise
    state.remember(system, digest=outcome.digest, error=None)
    value = status.status(system, identity)
    step = "ready" if value["healthy"] else "apply"
    state.report(ssm, identity, step, ok=True, digest=outcome.digest, error="; ".join(value["problems"]) or None)
    print(f"{identity.server}: {outcome.text}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tripod", description="This server of a Tripod stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("boot", help="volume, packages, bundle, agent, ready: what runs at boot")
    applying = commands.add_parser("apply", help="bring this server to the bundle in the bucket")
    applying.add_argument("--expect", metavar="DIGEST", help="refuse any other bundle than this one")
    applying.add_argument("--staged", type=Path, help=argparse.SUPPRESS)
    commands.add_parser("passwords", help="on the primary: let MySQL take changed passwords before others use them")
    showing = commands.add_parser("status", help="what runs, what is wrong; exit code 1 when something is")
    showing.add_argument("--json", action="store_true", help="for machines")
    waiting = commands.add_parser("ready", help="wait until this server is healthy")
    waiting.add_argument("--timeout", type=float, default=ready.READY_SECONDS, metavar="SECONDS")
    commands.add_parser("volume", help="mount the data volume")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (host/errors.py lists them)."""
    options = _parser().parse_args(arguments)
    system = System()
    server = "this server"
    try:
        identity = Identity.load(system.path(PATH))
        server = identity.server
        match options.command:
            case "boot":
                boot.boot(system, identity, client("s3", identity), client("ssm", identity))
            case "apply":
                return _apply(system, identity, options.staged, options.expect)
            case "passwords":
                from . import passwords  # noqa: PLC0415  PyMySQL is there only where a database is

                print(f"{server}: {passwords.renew(system, identity, client('ssm', identity))}")
            case "status":
                value = status.status(system, identity)
                print(json.dumps(value) if options.json else status.text(value))
                return 0 if value["healthy"] else 1
            case "ready":
                ready.await_ready(system, identity, client("ssm", identity), seconds=options.timeout)
            case "volume":
                print(f"{server}: {volume.mount(system)}")
    except StepError as error:
        print(f"tripod {options.command}: {error.line(server)}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
