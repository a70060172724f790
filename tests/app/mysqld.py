"""The rehearsal image's own mysqld for tests of the application: on a loopback port, with TLS, in memory.

It lives in a mount and a process namespace of its own, so its data directory goes when it goes; and it goes when
the test run does, however that ends (PR_SET_PDEATHSIG, and the end of a process namespace's first process).
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.userdata.certificate import self_signed
from tests.userdata.image import SCRIPT, Image

START_TIMEOUT = 180

DATA = "/var/lib/mysql-test"
START = f"""
set -e
install -d -o mysql -g mysql -m 750 {DATA}
cp /staged/cert.pem /staged/key.pem {DATA}/
chown mysql: {DATA}/*.pem
set -- --no-defaults --user=mysql --datadir={DATA}/data --skip-log-bin --innodb-redo-log-capacity=16M
mysqld "$@" --initialize-insecure --init-file=/staged/init.sql
# Not exec: mysqld changes its user, and the kernel then forgets that it was to die with its parent.
mysqld "$@" --bind-address=127.0.0.1 --port="$PORT" --mysqlx=OFF --socket={DATA}/mysqld.sock \\
    --ssl-ca={DATA}/cert.pem --ssl-cert={DATA}/cert.pem --ssl-key={DATA}/key.pem
echo "mysqld ended with exit code $?"
exit 1
"""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(root: Path, scratch: Path) -> Iterator[str]:
    """The URL of a server from the image at `root` (see test_mysql.py), gone afterwards."""
    password, port = secrets.token_urlsafe(), _free_port()
    certificate, key = self_signed()
    image = Image(root, scratch)
    image.stage(
        {
            "cert.pem": certificate,
            "key.pem": key,
            "init.sql": f"CREATE USER tester@'%' IDENTIFIED BY '{password}' REQUIRE SSL;\n"
            "GRANT ALL ON *.* TO tester@'%' WITH GRANT OPTION;\n",
        }
    )
    log = scratch / "mysqld.log"
    command = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
        *("sh", "-c", SCRIPT, "mysqld", str(image.scratch), str(image.root), "env", f"PORT={port}", "sh", "-c", START),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _await(process, port, log)
        yield f"mysql://tester:{quote(password)}@127.0.0.1:{port}/?ca={scratch / 'staged' / 'cert.pem'}"
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"mysqld ended:\n{log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"mysqld is not up:\n{log.read_text(errors='replace')}"
            time.sleep(0.1)
        else:
            return
