"""Keep what HAProxy knows about its servers over a reload: which database server is the writer, above all.

Runs before each reload (haproxy.service.d/tripod.conf). Without it the new process would know no writer until its own
first checks have passed, up to half a second later.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

SOCKET = Path("/run/haproxy/admin.sock")
STATE = Path("/run/haproxy/servers-state")
SECONDS = 2.0


def ask(path: Path, command: str) -> str:
    """The answer of HAProxy's runtime API (its management guide, "Unix Socket commands")."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


def save(path: Path = SOCKET, state: Path = STATE) -> None:
    """Write the state file by one rename. Raises OSError when HAProxy does not answer."""
    answer = ask(path, "show servers state")
    temporary = state.with_suffix(".new")
    temporary.write_text(answer)
    temporary.replace(state)


if __name__ == "__main__":
    try:
        save()
    except OSError as error:
        # The reload goes on: it only costs the new process its first checks.
        print(f"the state of the servers cannot be kept ({error})", file=sys.stderr)
