"""Reload HAProxy so that nothing is lost and a failure is seen: ExecReload of haproxy.service.

What the running process knows about its servers (which database server is the writer, above all) is kept in a file
for the next one; without it the new process would know no writer until its own first checks have passed. Then the
master is asked to reload, and its answer is awaited: after a signal it would go on with the old process, for a port
that cannot be bound, say, and nobody would notice.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

CONFIG = Path("/etc/haproxy/haproxy.cfg")
WORKER = Path("/run/haproxy/admin.sock")
MASTER = Path("/run/haproxy-master.sock")
STATE = Path("/run/haproxy/servers-state")

WORKER_SECONDS = 2.0
# Parsing, binding and loading certificates; a reload that takes longer is stuck.
MASTER_SECONDS = 60.0


class ReloadError(Exception):
    """HAProxy goes on with the configuration that it had; the message is its own."""


def ask(path: Path, command: str, seconds: float) -> str:
    """The answer to one command (HAProxy management guide, "Unix Socket commands" and "Master CLI")."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode(errors="replace")


def keep_state(path: Path = WORKER, state: Path = STATE, config: Path = CONFIG) -> None:
    """Write the state file by one rename. Raises OSError when HAProxy does not answer."""
    answer = ask(path, "show servers state", WORKER_SECONDS)
    temporary = state.with_suffix(".new")
    temporary.write_text(still_true(answer, endpoints(config.read_text())))
    temporary.replace(state)


def endpoints(config: str) -> set[tuple[str, str, str]]:
    """Backend, server and `address:port` of every server of a configuration as userdata/haproxy renders it."""
    found, section = set(), ""
    for words in map(str.split, config.splitlines()):
        if words[:1] in (["backend"], ["listen"]):
            section = words[1]
        elif words[:1] == ["server"]:
            found.add((section, words[1], words[2]))
    return found


def still_true(states: str, known: set[tuple[str, str, str]]) -> str:
    """What `show servers state` says, without servers that have another address or port from now on.

    HAProxy takes a server's port from this file, not from its configuration (management guide, "show servers state"):
    it would go on to ask, and to serve, the old one.
    """
    kept: list[str] = []
    columns: dict[str, int] = {}
    for line in states.splitlines():
        if line.startswith("# "):
            columns = {name: place for place, name in enumerate(line.removeprefix("# ").split())}
        elif columns and line:
            row = line.split()
            backend, server, address, port = (
                row[columns[name]] for name in ("be_name", "srv_name", "srv_addr", "srv_port")
            )
            if (backend, server, f"{address}:{port}") not in known:
                continue
        kept.append(line)
    return "\n".join(kept) + "\n"


def reload(path: Path = MASTER) -> None:
    """Start a new process with the configuration on disk. Raises ReloadError when it does not come up."""
    answer = ask(path, "reload", MASTER_SECONDS)
    if not answer.startswith("Success=1"):
        alerts = [line for line in answer.splitlines() if "[ALERT]" in line]
        raise ReloadError((alerts or answer.splitlines() or ["no answer"])[0])


def main() -> int:
    """Keep the state and reload; the exit code."""
    try:
        keep_state()
    except OSError as error:
        # The reload goes on: it only costs the new process its first checks.
        print(f"the state of the servers cannot be kept ({error})", file=sys.stderr)
    try:
        reload()
    except (OSError, ReloadError) as error:
        print(f"HAProxy did not reload: {error}", file=sys.stderr)
        return os.EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
