"""Negative controls: safety features that a drill can run without, so that the judge is seen to fail it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rehearsal.drills.drill import no_floating_address, possible
from rehearsal.drills.stack import Stack
from rehearsal.shell import RehearsalError
from topology.names import Role

UNDO = Callable[[], None]
APPLY_SECONDS = 300
GATHER_SECONDS = 90


@dataclass(frozen=True)
class Safety:
    """A safety feature. `switch_off` does so on the hosts of one rehearsal and returns what puts it back.

    `fault` is part of the fault that the judge must find without it: failing for another reason proves nothing.
    """

    name: str
    what: str
    fault: str
    switch_off: Callable[[Stack], UNDO]
    obstacle: Callable[[Stack], str] = possible
    """Why a stack does not have the feature, or nothing."""


@contextmanager
def without(stack: Stack, safety: Safety) -> Iterator[None]:
    """Run the block without a safety feature; afterwards the hosts have their bundle again."""
    undo = safety.switch_off(stack)
    try:
        yield
    finally:
        undo()


def switch_everything_on(stack: Stack) -> None:
    """Heal the network, switch every server on, and give the group some time to be whole."""
    stack.fault("heal")
    off = [one["name"] for one in stack.daemon.ask("instances")["servers"] if one["state"] == "off"]
    if off:
        stack.power("start", *off)
    with suppress(RehearsalError):  # what is still missing is for repair(), once every feature is there again
        stack.wait_whole(GATHER_SECONDS)


def repair(stack: Stack) -> None:
    """Bring a stack back that a drill left broken: replace members that cannot join, wait until all is well.

    Raises RehearsalError when there is no group to join, or when the stack does not become healthy.
    """
    try:
        stack.wait_whole(GATHER_SECONDS)
    except RehearsalError:
        for server in _lost_members(stack):
            stack.daemon.ask("recreate", server=server, empty=True, timeout=120)
        stack.wait_whole(300)
    stack.wait_healthy()


def _lost_members(stack: Stack) -> list[str]:
    """Members that are not in the group, where there is a group: without one nothing may be thrown away."""
    leader = stack.primary()
    return [server for server in stack.databases if server != leader and not _online(stack, server)]


def _online(stack: Stack, server: str) -> bool:
    try:
        return stack.member(server).member_state == "ONLINE"
    except RehearsalError:
        return False


def _names(stack: Stack, role: Role) -> list[str]:
    return [server.name for server in stack.topology.with_role(role)]


@dataclass(frozen=True)
class Edited:
    """A file of every server of a role is changed, then commands are run there; a re-apply puts it back.

    Raises RehearsalError when the pattern (multi-line) is not in the file: the feature would not be off.
    """

    role: Role
    path: str
    pattern: str
    replacement: str
    after: tuple[str, ...] = ()
    """Commands that follow, both when the feature goes and when it is back."""
    also_off: tuple[str, ...] = ()
    """Units that would step in for the feature: masked and stopped meanwhile."""

    def __call__(self, stack: Stack) -> UNDO:
        servers = _names(stack, self.role)
        before = {server: _place(stack, server, self.path).read_text() for server in servers}
        for server, text in {server: self.changed(server, text) for server, text in before.items()}.items():
            _write(stack, server, self.path, text)
            _commands(stack, server, self.after)
            for unit in self.also_off:
                stack.exec(server, "systemctl", "mask", "--runtime", "--now", unit)

        def undo() -> None:
            for server, text in before.items():
                _write(stack, server, self.path, text)
                _commands(stack, server, self.after)
                for unit in self.also_off:
                    stack.exec(server, "systemctl", "unmask", "--runtime", unit)
                # Starts what was stopped, and sees anything that still differs from the bundle.
                stack.exec(server, "tripod", "apply", timeout=APPLY_SECONDS)

        return undo

    def changed(self, server: str, text: str) -> str:
        """The file's text without the feature."""
        found, count = re.subn(self.pattern, self.replacement, text, flags=re.MULTILINE)
        if not count:
            raise RehearsalError(f"{self.path} of {server} has no {self.pattern!r}: this control switches nothing off")
        return found


def _place(stack: Stack, server: str, path: str) -> Path:
    return Path(f"/proc/{stack.leader(server)}/root{path}")


def _write(stack: Stack, server: str, path: str, text: str) -> None:
    with _place(stack, server, path).open("r+") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _commands(stack: Stack, server: str, commands: tuple[str, ...]) -> None:
    for command in commands:
        stack.exec(server, *command.split(), timeout=APPLY_SECONDS)


def set_globally(off: tuple[str, ...], on: tuple[str, ...]) -> Callable[[Stack], UNDO]:
    """Global variables of every member have other values (`name = value`), as a server booted so would."""

    def assign(stack: Stack, server: str, assignments: tuple[str, ...]) -> None:
        for assignment in assignments:
            stack.query(server, f"SET GLOBAL {assignment}")

    def switch_off(stack: Stack) -> UNDO:
        for server in stack.databases:
            assign(stack, server, off)

        def undo() -> None:
            for server in stack.databases:
                with suppress(RehearsalError):  # a mysqld that is down reads its file again when it starts
                    assign(stack, server, on)

        return undo

    return switch_off


def standby_without(unit: str) -> Callable[[Stack], UNDO]:
    """A unit is stopped on every load balancer that does not hold the site's address, and cannot start."""

    def switch_off(stack: Stack) -> UNDO:
        behind = stack.elastic().values()
        servers = [one.name for one in stack.topology.load_balancers if str(one.address) not in behind]
        for server in servers:
            stack.exec(server, "systemctl", "mask", "--runtime", "--now", unit)

        def undo() -> None:
            for server in servers:
                stack.exec(server, "systemctl", "unmask", "--runtime", unit)
                stack.exec(server, "systemctl", "start", unit)

        return undo

    return switch_off


BALANCERS = Role.LOAD_BALANCER
HAPROXY = "/etc/haproxy/haproxy.cfg"
HAPROXY_UNIT = "/etc/systemd/system/haproxy.service.d/tripod.conf"
ADDRESS_UNIT = "/etc/systemd/system/tripod-floating-address.service"
RELOAD = "systemctl reload haproxy.service"
READ_UNITS = "systemctl daemon-reload"

_ALL = (
    Safety(
        "read-only-at-boot",
        "super_read_only = ON in mysqld's configuration, and tripod-group, which would fence it",
        "outside its group",
        Edited(
            Role.DATABASE,
            "/etc/mysql/mysql.conf.d/zz-tripod.cnf",
            r"^super_read_only = ON$",
            "super_read_only = OFF",
            also_off=("tripod-group.service",),
        ),
    ),
    Safety(
        "prompt-expulsion",
        "group_replication_member_expel_timeout = 0",
        "write gap",
        set_globally(("group_replication_member_expel_timeout = 20",), ("group_replication_member_expel_timeout = 0",)),
    ),
    Safety(
        "durable-commits",
        "sync_binlog = 1 and innodb_flush_log_at_trx_commit = 1",
        "acknowledged writes are not on every copy",
        set_globally(
            # InnoDB's own flush once a second would leave a second at most to lose, and a power cut may miss it.
            ("sync_binlog = 0", "innodb_flush_log_at_trx_commit = 0", "innodb_flush_log_at_timeout = 2700"),
            ("sync_binlog = 1", "innodb_flush_log_at_trx_commit = 1", "innodb_flush_log_at_timeout = 1"),
        ),
    ),
    Safety(
        "vrrp",
        "keepalived on the load balancer that stands by",
        "not within",
        standby_without("keepalived.service"),
        no_floating_address,
    ),
    Safety(
        "haproxy-restart",
        "Restart=always of haproxy.service",
        "redundancy",
        Edited(BALANCERS, HAPROXY_UNIT, r"^Restart=always$", "Restart=no", (READ_UNITS,)),
    ),
    Safety(
        "haproxy-tracking",
        "keepalived's check of HAProxy",
        "read gap",
        Edited(
            BALANCERS,
            "/etc/keepalived/keepalived.conf",
            r"track_script \{\s+haproxy\s+\}",
            "",
            ("systemctl reload keepalived.service",),
        ),
        no_floating_address,
    ),
    Safety(
        "graceful-reload",
        "HAProxy's reload, replaced by a restart",
        "failed reads",
        Edited(
            BALANCERS,
            HAPROXY_UNIT,
            r"^ExecReload=/usr/bin/env .*$",
            "ExecReload=/bin/kill -KILL $MAINPID",
            (READ_UNITS,),
        ),
    ),
    Safety(
        "address-heal",
        "the repeated look at where the Elastic IP is",
        "not within",
        Edited(
            BALANCERS,
            ADDRESS_UNIT,
            r"^(ExecStart=.*host\.floating_address)$",
            r"\1 --no-heal",
            (READ_UNITS, "systemctl restart tripod-floating-address.service"),
        ),
        no_floating_address,
    ),
    Safety(
        "retries",
        "HAProxy's retries on another application server",
        "failed reads",
        Edited(
            BALANCERS, HAPROXY, r"^    retries 3\n    option redispatch 1\n    retry-on .*$", "    retries 0", (RELOAD,)
        ),
    ),
    Safety(
        "health-checks",
        "HAProxy's health checks of the application servers",
        "failed reads",
        Edited(
            BALANCERS,
            HAPROXY,
            r"^    default-server check inter 1s .* maxconn (\d+) .*$",
            r"    default-server maxconn \1",
            (RELOAD,),
        ),
    ),
)
SAFETY: dict[str, Safety] = {safety.name: safety for safety in _ALL}
