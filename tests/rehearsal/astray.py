"""A member that takes a write outside its group, as none would without help, and how it comes back."""

from __future__ import annotations

import time

from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.shell import RehearsalError

WRITE = "INSERT INTO app.entries (text, `key`, written_by) VALUES ('astray', 'astray', 'astray')"
SETTING = "/etc/mysql/mysql.conf.d"


def kill_mysqld(stack: Stack, server: str) -> None:
    stack.exec(server, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=main", "mysql.service")


def let_it_write(stack: Stack, server: str) -> None:
    """Switch off what makes a mysqld read-only from its start on; `make_anew` puts it back."""
    files = stack.exec(server, "grep", "-rl", "super_read_only", SETTING).stdout.split()
    assert files
    stack.exec(server, "sed", "-i", "s/^ *super_read_only.*//; s/^ *super-read-only.*//", *files)


def write_astray(stack: Stack, server: str, timeout: float) -> bool:
    """Restart mysqld outside its group and try to write to it at once, past HAProxy, as its root."""
    stack.exec(server, "systemctl", "stop", "tripod-group.service")
    kill_mysqld(stack, server)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            stack.query(server, WRITE)
        except RehearsalError as error:
            if "super-read-only" in str(error):
                return False
            time.sleep(0.1)
        else:
            return True
    raise AssertionError(f"mysqld of {server} did not come back")


def begin_by_accident(stack: Stack, server: str) -> None:
    """Leave a member alone in a group of the same name that nobody decided to begin, without the others' last writes.

    Group Replication does that to one that joins while all whom it joins are lost; when exactly, is luck. Here it is
    asked for. `server` is no primary; afterwards all daemons look for their group again.
    """
    others = [name for name in stack.databases if name != server]
    for name in stack.databases:
        stack.exec(name, "systemctl", "stop", "tripod-group.service")
    stack.exec(server, "mysql", "-e", "STOP GROUP_REPLICATION")
    stack.query(stack.primary(), WRITE.replace("astray", "not-everywhere"))
    for name in others:
        kill_mysqld(stack, name)
    stack.query(server, "SET GLOBAL group_replication_bootstrap_group = ON")
    try:
        stack.exec(server, "mysql", "-e", "START GROUP_REPLICATION")
    finally:
        stack.query(server, "SET GLOBAL group_replication_bootstrap_group = OFF")
    assert stack.member(server).is_primary
    assert not stack.query(server, "SELECT 1 FROM app.entries WHERE `key` = 'not-everywhere'")
    for name in [*others, server]:
        stack.exec(name, "systemctl", "start", "tripod-group.service")


def wait_refused(stack: Stack, server: str) -> None:
    """Let it look for its group, and wait until it says that it must not join."""
    stack.exec(server, "systemctl", "start", "tripod-group.service")

    def refused() -> bool:
        said = stack.exec(server, "journalctl", "-u", "tripod-group.service", "-n", "50", "--no-pager").stdout
        return "must not join" in said

    wait_until("the errant member is refused", refused, timeout=60, details=lambda: stack.journals([server]))


def make_anew(stack: Stack, server: str) -> None:
    """Empty the data directory and cut the power: the server clones itself from the group; wait for that."""
    stack.exec(server, "systemctl", "stop", "tripod-group.service", "mysql.service")
    stack.exec(server, "find", "/var/lib/mysql", "-mindepth", "1", "-delete")
    # A power cut would bring back what was not yet on the disk, deleted files too.
    stack.exec(server, "sync")
    stack.power("kill", server)
    stack.power("start", server)
    stack.wait_whole(240)
    stack.exec(server, "tripod", "apply")
    stack.wait_healthy()
