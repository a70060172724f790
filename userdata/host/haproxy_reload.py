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


def keep_state(path: Path = WORKER, state: Path = STATE) -> None:
    """Write the state file by one rename. Raises OSError when HAProxy does not answer."""
    answer = ask(path, "show servers state", WORKER_SECONDS)
    temporary = state.with_suffix(".new")
    temporary.write_text(answer)
    temporary.replace(state)


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
