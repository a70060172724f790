"""Real hosts: their boot, power, disks, volumes and commands, and that nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal import cleanup
from rehearsal.firewall_rules import HostRules
from rehearsal.machine import Power
from rehearsal.root_disk import aws_config
from rehearsal.shell import RehearsalError
from rehearsal.volume import Volume
from tests.rehearsal.data_plane import OPEN, metadata, stack, traces

pytestmark = pytest.mark.rehearsal
VOLUME = "vol-0123456789abcdef0"
BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
USER_DATA = """\
#cloud-config
write_files:
  - path: /etc/marker
    content: from user data
runcmd:
  - [sh, -c, "ls -l /dev | tee /var/tmp/disks-at-user-data"]
"""


def until(predicate, timeout=30):
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not true within {timeout} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two hosts that finished their user data; server-1 has a volume since before its first boot."""
    with stack(tmp_path_factory.mktemp("hosts")) as made, metadata(made.fabric, USER_DATA):
        first = made.machine(1, files={"/root/.aws/config": aws_config("eu-central-1")})
        second = made.machine(2)
        first.attach(Volume(VOLUME, made.fabric.paths.volume(VOLUME), 2))
        for machine in (first, second):
            machine.start()
        for machine in (first, second):
            assert machine.wait_booted() == "running", machine.run("systemctl", "--failed").stdout + machine.journal()
        yield first, second


@pytest.fixture
def first(two):
    two[0].start()
    return two[0]


@pytest.fixture
def second(two):
    two[1].start()
    return two[1]


def test_user_data_ran_with_the_disks_there(first):
    assert first.run("cat", "/etc/marker").stdout == "from user data"
    assert "nvme1n1" in first.run("cat", "/var/tmp/disks-at-user-data").stdout
    assert first.run("hostname").stdout.strip() == "ip-10-70-1-10"


def test_a_host_is_like_a_fresh_instance(first, second):
    identifiers = {machine.run("cat", "/etc/machine-id").stdout for machine in (first, second)}
    assert len(identifiers) == 2
    assert first.run("ls", "/var/lib/mysql").stdout == "", "no data directory, so no server UUID that all share"
    active = first.run("systemctl", "list-units", "--type=service", "--state=running", "--plain").stdout
    assert not any(name in active for name in ("mysql", "haproxy", "prometheus", "keepalived"))
    assert "apt-daily" not in first.run("systemctl", "list-timers", "--all").stdout
    assert "endpoint_url" in first.run("cat", "/root/.aws/config").stdout
    assert first.run("stat", "--format=%a", "/root/.aws/config").stdout.strip() == "600"
    assert first.run("stat", "--format=%a", "/root").stdout.strip() == "700"


def test_a_host_cannot_make_devices_or_change_this_machines_kernel(first):
    refused = (
        ["mknod", "/root/disk", "b", "254", "0"],
        ["sh", "-c", "echo 1 > /proc/sys/kernel/panic"],
        ["date", "--set=2001-01-01"],
    )
    for command in refused:
        assert not first.run(*command).ok, f"{command} worked"
    inside = ["systemd-run", "--wait", "--pipe", "--quiet", "mknod", "/root/disk", "b", "254", "0"]
    assert not first.run(*inside).ok


def test_a_host_sets_its_own_network_and_nothing_of_this_machine(first, second):
    def queue():
        return [
            Path("/proc/sys/net/core/somaxconn").read_text(),
            second.run("sysctl", "-n", "net.core.somaxconn").stdout,
        ]

    before = queue()
    first.run("tee", "/etc/sysctl.d/queue.conf", stdin="net.core.somaxconn = 4097\nkernel.panic = 97\n")
    assert first.run("systemctl", "restart", "systemd-sysctl").ok
    assert first.run("sysctl", "-n", "net.core.somaxconn").stdout.strip() == "4097"
    assert queue() == before
    assert Path("/proc/sys/kernel/panic").read_text().strip() != "97"


def test_commands_say_how_they_ended(first):
    done = first.run("sh", "-c", "echo out; echo err >&2; cat; exit 3", stdin="in", environment={"A": "b"})
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\nin", "err\n")
    assert first.run("sh", "-c", "echo $A:$HOME:$PWD", environment={"A": "b"}).stdout == "b:/root:/root\n"
    started = time.monotonic()
    done = first.run("sh", "-c", "echo before; sleep 98 & sleep 98", timeout=1)
    assert (done.exit_code, done.stdout) == (124, "before\n")
    assert time.monotonic() - started < 5
    until(lambda: first.run("pgrep", "-f", "sleep 98").exit_code == 1)


def test_a_reboot_keeps_the_root_disk_and_the_volume(first):
    first.run("sh", "-c", f"mkfs.ext4 -q {BY_ID} && mount {BY_ID} /mnt && echo a > /mnt/a", check=True)
    first.run("touch", "/root/kept", check=True)
    before = first.run("cat", "/proc/sys/kernel/random/boot_id").stdout
    first.run("systemctl", "reboot")

    def again():
        try:
            return first.run("cat", "/proc/sys/kernel/random/boot_id").stdout not in {before, ""}
        except RehearsalError:
            return False

    until(again)
    until(lambda: first.run("test", "-b", BY_ID).ok)
    assert first.run("sh", "-c", f"mount {BY_ID} /mnt && cat /mnt/a").stdout == "a\n"
    assert first.run("test", "-e", "/root/kept").ok


def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(first):
    first.run("sh", "-c", f"umount {BY_ID}; mkfs.ext4 -qF {BY_ID} && mount {BY_ID} /mnt", check=True)
    first.run("sh", "-c", "echo safe > /mnt/safe && sync && echo lost > /mnt/lost", check=True)
    first.kill()
    assert first.power is Power.OFF
    with pytest.raises(RehearsalError, match="not running"):
        first.run("true")
    assert "Linux" in first.journal(lines=100000) or "systemd" in first.journal()
    first.start()
    first.run("mount", BY_ID, "/mnt", check=True)
    assert first.run("ls", "/mnt").stdout.split() == ["lost+found", "safe"]
    first.run("umount", "/mnt", check=True)


def test_a_frozen_host_stands_still_until_it_is_killed(first):
    count = "n=0; while sleep 0.01; do n=$((n + 1)); echo $n > /run/counter; done"
    first.run("systemd-run", "--unit=counter", "sh", "-c", count, check=True)
    counter = Path(f"/proc/{first.leader}/root/run/counter")

    def still():
        before = counter.read_text()
        time.sleep(0.2)
        return counter.read_text() == before

    until(counter.exists)
    assert not still()
    first.freeze()
    assert still()
    assert still()
    first.kill()
    assert first.power is Power.OFF


def test_an_orderly_stop_syncs(first):
    first.run("sh", "-c", f"mount {BY_ID} /mnt && echo orderly > /mnt/orderly", check=True)
    first.stop()
    assert first.power is Power.OFF
    assert "Reached target poweroff.target" in first.journal()
    first.start()
    assert first.run("sh", "-c", f"mount {BY_ID} /mnt && cat /mnt/orderly && umount /mnt").stdout == "orderly\n"


def test_volumes_come_and_go_while_a_host_runs(first, second):
    volume = first.volumes[0]
    first.run("mount", BY_ID, "/mnt", check=True)
    with pytest.raises(RehearsalError, match="still mounted"):
        first.detach(volume)
    first.run("umount", "/mnt", check=True)
    first.detach(volume)
    assert not first.run("test", "-e", BY_ID).ok
    second.attach(volume)
    assert second.run("sh", "-c", f"mount {BY_ID} /mnt && ls /mnt && umount /mnt").stdout.split()[0] == "lost+found"
    second.detach(volume)
    first.attach(volume)
    assert first.run("test", "-b", BY_ID).ok


def test_the_firewall_stands_between_hosts(first, second):
    fabric = first.fabric
    ping = ("ping", "-c1", "-W1", second.address)
    fabric.set_rules({"server-1": HostRules(), "server-2": HostRules()})
    assert not first.run(*ping).ok
    fabric.set_rules({"server-1": OPEN, "server-2": OPEN})
    assert first.run(*ping).ok
    assert not first.run("ping", "-c1", "-W1", "10.70.1.77").ok


def test_the_world_reaches_a_host_by_its_elastic_ip(first):
    first.fabric.set_rules({"server-1": OPEN})
    first.fabric.set_elastic_ips({"203.0.113.10": first.address})
    first.run("systemd-run", "--collect", "--unit=page", "python3", "-m", "http.server", "80", check=True)
    until(lambda: first.run("curl", "-sf", f"http://{first.address}/").ok)
    with first.fabric.connect("world", "203.0.113.10", 80) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.0 200")
    first.run("systemctl", "stop", "page", check=True)


def test_a_host_that_switches_itself_off_is_noticed(two, first):
    ended = []
    first._on_end = ended.append
    try:
        first.run("systemctl", "poweroff")
        until(lambda: ended == [first])
    finally:
        first._on_end = None
    assert first.power is Power.OFF
    assert not (Path("/run/netns") / first.fabric.host_namespace("server-1")).exists()


def test_a_destroyed_host_leaves_its_volume(tmp_path):
    with stack(tmp_path) as made:
        machine = made.machine(3)
        volume = Volume(VOLUME, made.fabric.paths.volume(VOLUME), 1)
        machine.attach(volume)
        machine.start()
        machine.destroy()
        machine.destroy()
        assert volume.file.exists()
        assert volume.device is None
        assert not machine.disk.directory.exists()
        assert [line for line in traces(made.name, tmp_path) if "server-3" in line] == []


OWNER = """
import sys, threading
from pathlib import Path
from rehearsal import image
from rehearsal.machine import Machine
from rehearsal.network import Fabric
from rehearsal.volume import Volume
stack, root, volume = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
fabric = Fabric(stack, "10.70.0.0/16", state_root=root)
fabric.up()
for number in (1, 2):
    machine = Machine(fabric, f"server-{number}", image=image.ensure(), address=f"10.70.{number}.10",
                      subnet_cidr=f"10.70.{number}.0/24")
    if number == 1:
        machine.attach(Volume(volume, fabric.paths.volume(volume), 1))
    machine.start()
machine.run("systemd-run", "--no-block", "sleep", "1000", check=True)
print("ready", flush=True)
threading.Event().wait()
"""


def test_cleanup_leaves_nothing_of_an_owner_that_was_killed(tmp_path):
    name = f"test-{os.getpid()}-killed"
    command = [sys.executable, "-c", OWNER, name, str(tmp_path), VOLUME]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert owner.stdout.readline() == "ready\n"
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert len(traces(name, tmp_path)) > 8, "hosts outlive their owner"
        kinds = {line.split(" tripod-")[0].split(" /")[0] for line in cleanup.leftovers(name, state_root=tmp_path)}
        assert {"control group", "namespace", "loop device"} <= kinds
        assert cleanup.cleanup(name, state_root=tmp_path)
        assert traces(name, tmp_path) == []
        assert cleanup.leftovers(name, state_root=tmp_path) == []
        assert not (tmp_path / name).exists()
        assert not cleanup.cleanup(name, state_root=tmp_path), "a second time finds nothing to do"
    finally:
        owner.kill()
        owner.wait()
        cleanup.cleanup(name, state_root=tmp_path)
