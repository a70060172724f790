"""What the runbook tells a person to type on a server, typed there.

One stack serves all tests of this file.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from operations.runbook.book import entry
from rehearsal.drills.judge import Limits
from rehearsal.drills.stack import Stack
from rehearsal.drills.waiting import wait_until
from rehearsal.drills.watch import watching
from rehearsal.shell import RehearsalError
from tests.rehearsal.drilling import verdict_of
from tests.rehearsal.growth import grow, lives
from tests.rehearsal.stack import REFERENCE, running
from userdata.host.group_decision import GRACE

pytestmark = [pytest.mark.rehearsal, pytest.mark.drill]

MOUNT = "/var/lib/tripod"
CAP_SYS_RESOURCE = 24  # include/uapi/linux/capability.h


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runbook")


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Stack]:
    with running(place, "test", REFERENCE) as found:
        yield found


def block(stack: Stack, section: str, word: str) -> str:
    """The one block of commands in a section of the runbook that has this word in it."""
    found = [
        text for text in re.findall(r"```\n(.+?)```", entry(stack.topology, section).text, re.DOTALL) if word in text
    ]
    assert len(found) == 1, found
    return str(found[0])


def type_in(stack: Stack, server: str, commands: str) -> str:
    """Run commands as root's shell of a server does, line by line; none may fail."""
    return stack.exec(server, "bash", "-e", "-c", commands, timeout=120).stdout


def refused(stack: Stack, server: str) -> str:
    """What `tripod status` says of a member that must not join, or nothing."""
    told = said(stack, server)
    return told if "holds transactions that the group never had" in told else ""


def test_a_member_that_the_group_refuses_is_cloned_again(stack: Stack, tmp_path: Path) -> None:
    stray = stack.replicas()[-1]
    name = f"stray_{uuid.uuid4().hex[:8]}"
    with watching(stack, tmp_path) as watch:
        stack.exec(stray, "systemctl", "stop", "tripod-group.service")
        alone = f"STOP GROUP_REPLICATION; SET GLOBAL super_read_only = OFF; CREATE DATABASE {name}"
        try:
            stack.exec(stray, "mysql", "--execute", f"{alone}; SET GLOBAL super_read_only = ON")
        finally:
            stack.exec(stray, "systemctl", "start", "tripod-group.service")
        wait_until("the member is refused", lambda: refused(stack, stray), timeout=60, details=stack.journals)
        # It stays outside by itself, and the others do not wait for it.
        watch.observe(5)
        assert refused(stack, stray)
        assert not stack.whole()
        type_in(stack, stray, block(stack, "mysqld-down", "mysql-before"))
        stack.wait_whole(240)
        watch.observe(2)
    verdict = verdict_of(watch, Limits(failed_reads=0, failed_writes=0))
    assert verdict.faults == ()
    schemas = {str(row["Database"]) for row in stack.query(stray, "SHOW DATABASES")}
    assert "app" in schemas
    assert name not in schemas
    # What it alone had is still there for whoever wants it.
    stack.exec(stray, "test", "-d", f"{MOUNT}/mysql-before/{name}")
    stack.exec(stray, "rm", "-r", f"{MOUNT}/mysql-before")
    stack.wait_healthy()


def test_the_data_volumes_grow_while_mysql_runs(stack: Stack, place: Path) -> None:
    sizes = {server: stack.topology.server(server).data_volume_gib for server in stack.databases}
    before = lives(stack)
    larger = yaml.safe_load(REFERENCE)
    larger["config"]["tripod:dataVolumeGib"] = max(sizes.values()) + 10
    stack.topology = grow(stack, place, yaml.safe_dump(larger)).topology
    commands = block(stack, "disk-filling", "resize2fs")
    for server in stack.databases:
        device = stack.exec(server, "findmnt", "-no", "SOURCE", "--mountpoint", MOUNT).stdout.strip()
        assert int(stack.exec(server, "blockdev", "--getsize64", device).stdout) == (sizes[server] + 10) << 30
        if may_resize():
            type_in(stack, server, commands)
            size = int(stack.exec(server, "findmnt", "-bno", "SIZE", "--mountpoint", MOUNT).stdout)
            assert size / (1 << 30) == pytest.approx(sizes[server] + 10, rel=0.05)
        else:
            # All that this machine can show: the commands come as far as the kernel, which refuses them here.
            done = stack.exec(server, "bash", "-c", commands, check=False)
            assert "Permission denied to resize filesystem" in done.stdout + done.stderr
    assert lives(stack) == before
    stack.wait_healthy()


def may_resize() -> bool:
    """Whether root of this machine may let a mounted ext4 grow: CAP_SYS_RESOURCE (fs/ext4/resize.c)."""
    (bounding,) = re.findall(r"^CapBnd:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(int(bounding, 16) >> CAP_SYS_RESOURCE & 1)


def test_after_an_outage_the_last_primary_is_waited_for_until_a_person_decides(stack: Stack, tmp_path: Path) -> None:
    """Nobody writes at the time of the outage, so that all have the same and the last primary can come back."""
    lost, others = stack.primary(), stack.replicas()
    named = group_name(stack, lost)
    stack.power("kill", *stack.databases)
    try:
        stack.power("start", *others)
        wait_until(
            f"the others wait for {lost}",
            lambda: all(f"{lost} may hold newer writes" in said(stack, server) for server in others),
            timeout=90,
            details=stack.journals,
        )
        # They would have led by now if they did not wait for it, too.
        held = time.monotonic() + 2 * GRACE
        wait_until("they still wait", lambda: time.monotonic() > held or leads(stack, others), timeout=3 * GRACE)
        assert not leads(stack, others)
        type_in(stack, others[0], block(stack, "full-outage", "lead --accept-loss"))
        wait_until("it leads", lambda: leads(stack, others[:1]), timeout=90, details=stack.journals)
        assert group_name(stack, others[0]) != named
    finally:
        stack.power("start", lost)
    stack.wait_whole(180)
    stack.wait_healthy()
    assert {group_name(stack, server) for server in stack.databases} == {group_name(stack, others[0])}
    with watching(stack, tmp_path) as watch:
        watch.observe(2)
    assert verdict_of(watch, Limits(failed_reads=0, failed_writes=0)).faults == ()


def leads(stack: Stack, servers: Sequence[str]) -> bool:
    """Whether one of these is a writable primary of a group with a majority."""
    try:
        return stack.primary() in servers
    except RehearsalError:
        return False


def said(stack: Stack, server: str) -> str:
    """What `tripod status` says; nothing while the host is still starting."""
    try:
        return stack.exec(server, "tripod", "status", check=False).stdout
    except RehearsalError:
        return ""


def group_name(stack: Stack, server: str) -> str:
    """The UUID that its group gives to its transactions."""
    return str(stack.query(server, "SELECT @@global.group_replication_group_name AS name")[0]["name"])
