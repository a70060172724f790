"""What `status` says: for machines as JSON, for people as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rehearsal.paths import invocation

Status = dict[str, Any]


def build(stack: str, answer: dict[str, Any], ca_file: Path, *, complete: bool) -> Status:
    """The document of `status --json` from the supervisor's answer.

    `complete` says whether the program ran to its end; a stack is healthy when it did and every server says so.
    """
    servers = [_server(server) for server in answer["servers"]]
    return {
        "stack": stack,
        "url": f"https://127.0.0.1:{answer['https_port']}/",
        "http_url": f"http://127.0.0.1:{answer['http_port']}/" if answer["http_port"] else None,
        "page_url": f"http://127.0.0.1:{answer['page_port']}/" if answer.get("page_port") else None,
        "ca_file": str(ca_file),
        "healthy": complete and bool(servers) and all(server["healthy"] for server in servers),
        "complete": complete,
        "region": answer["region"],
        "endpoint": answer["endpoint"],
        "addresses": answer["addresses"],
        "servers": servers,
    }


def _server(server: dict[str, Any]) -> dict[str, Any]:
    said = server["status"]
    database = said.get("database")
    problems = [*(said.get("problems") or []), *filter(None, [said.get("error"), server["problem"]])]
    return {
        "name": server["name"],
        "roles": server["roles"],
        "address": server["address"],
        "zone": server["zone"],
        "instance": server["instance"],
        "state": server["state"],
        "healthy": bool(said.get("healthy")) and server["state"] == "running" and not server["problem"],
        "database": database and {"role": database["role"], "member_state": database["member_state"], **database},
        "digest": said.get("digest"),
        "units": said.get("units") or {},
        "problems": problems,
    }


def show(status: Status, console: Console) -> None:
    """Print a status for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("server", "roles", "zone", "address", "state", "database"):
        table.add_column(column)
    for server in status["servers"]:
        database = server["database"] or {}
        role, member = database.get("role") or "", database.get("member_state") or ""
        state = server["state"] if server["healthy"] else f"[yellow]{server['state']}, not healthy[/]"
        table.add_row(
            server["name"],
            ", ".join(server["roles"]),
            server["zone"],
            server["address"],
            state,
            f"{role} ({member})" if member else role,
        )
    console.print(table)
    for server in status["servers"]:
        for problem in server["problems"]:
            console.print(f"  {server['name']}: {problem}", markup=False, highlight=False, soft_wrap=True)
    health = "[green]healthy[/]" if status["healthy"] else "[red]not healthy[/]"
    console.print(f"\nStack [bold]{status['stack']}[/] is {health}.", highlight=False)
    console.print(f"  {status['url']}   CA: {status['ca_file']}", highlight=False, soft_wrap=True)
    if status["page_url"]:
        console.print(f"  {status['page_url']}    live page: watch it, break it", highlight=False, soft_wrap=True)


def next_steps(status: Status, console: Console) -> None:
    """Print what to try next."""
    program = invocation()
    stack = status["stack"]
    first = status["servers"][0]["name"] if status["servers"] else "SERVER"
    primary = next(
        (one["name"] for one in status["servers"] if (one["database"] or {}).get("role") == "primary"), first
    )
    lines = [
        ("read the site", f"curl --cacert {status['ca_file']} {status['url']}"),
        ("look inside", f"{program} exec --stack {stack} {first} -- tripod status"),
        ("cut a server's power", f"{program} kill --stack {stack} {primary}"),
        ("switch it on again", f"{program} start --stack {stack} {primary}"),
        ("try every port", f"{program} flows --stack {stack}"),
        ("end it", f"{program} down --stack {stack}"),
    ]
    console.print("\nWhat to try next:", highlight=False)
    for what, command in lines:
        console.print(f"  {what:<22} {command}", markup=False, highlight=False, soft_wrap=True)
