"""Hosts follow the API: what is started, stopped, attached and destroyed when the view changes."""

from __future__ import annotations

import dataclasses
import time

import pytest

from rehearsal import reconciler as module
from rehearsal.machine import Power
from rehearsal.paths import StackPaths
from rehearsal.reconciler import Reconciler
from rehearsal.shell import RehearsalError
from rehearsal.view import Disk, Group, GroupRule, View
from tests.rehearsal.test_metadata import HOST

ONE = dataclasses.replace(HOST, address="10.20.0.10", subnet_cidr="10.20.0.0/20", groups=("sg-1",))
GROUPS = {"sg-1": Group(ingress=(GroupRule("tcp", 443, 443, None, "0.0.0.0/0"),), egress=())}
VOLUME = "vol-0123456789abcdef0"


class FakeMachine:
    def __init__(self, fabric, name, *, image, address, subnet_cidr, files, on_end):
        self.name, self.files, self.on_end = name, files, on_end
        self.power, self.volumes, self.said = Power.OFF, [], fabric.said
        self.mounted = False

    def start(self):
        self.said.append(f"start {self.name}")
        self.power = Power.ON

    def stop(self):
        self.said.append(f"stop {self.name}")
        self.power = Power.OFF

    def destroy(self):
        self.said.append(f"destroy {self.name}")
        self.power = Power.OFF
        self.volumes.clear()

    def attach(self, volume):
        self.said.append(f"attach {volume.id}")
        self.volumes.append(volume)

    def detach(self, volume):
        if self.mounted:
            raise RehearsalError(f"{volume.id} is still mounted")
        self.said.append(f"detach {volume.id}")
        self.volumes.remove(volume)


class FakeFabric:
    def __init__(self, directory):
        self.said = []
        self.paths = StackPaths("t", directory)

    def set_rules(self, rules):
        self.said.append(f"rules {sorted(rules)}")

    def set_elastic_ips(self, addresses):
        self.said.append(f"elastic {addresses}")


class World:
    def __init__(self, directory, monkeypatch):
        monkeypatch.setattr(module, "Machine", FakeMachine)
        self.fabric = FakeFabric(directory)
        self.view = View(groups=GROUPS)
        self.reconciler = Reconciler(self.fabric, directory, "eu-central-1", lambda: self.view)

    def show(self, *instances, **changes):
        """Show the API's new state until all is done; return what was done."""
        self.view = View(instances={one.id: one for one in instances}, groups=GROUPS, **changes)
        before = len(self.fabric.said)
        deadline = time.monotonic() + 10
        quiet = 0
        while quiet < 3:
            assert time.monotonic() < deadline
            self.reconciler.step()
            quiet = quiet + 1 if all(future.done() for future in self.reconciler._work.values()) else 0
            time.sleep(0.01)
        return self.fabric.said[before:]


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_from_launch_to_termination(world):
    assert world.show(ONE) == ["rules ['server-1']", "elastic {}", "start server-1"]
    machine = world.reconciler.find(ONE.id)
    assert "region = eu-central-1" in machine.files["/root/.aws/config"]
    assert machine.files["/etc/default/aws"] == "AWS_ENDPOINT_URL=http://169.254.170.10\n"
    assert world.show(ONE) == []
    stopped = dataclasses.replace(ONE, state="stopped")
    assert world.show(stopped) == ["stop server-1"]
    assert world.show(dataclasses.replace(ONE, power_cycles=1)) == ["start server-1"]
    assert world.show() == ["rules []", "destroy server-1", "rules []"]
    assert world.reconciler.find(ONE.id) is None


def test_a_stop_and_start_between_two_looks_still_happens(world):
    world.show(ONE)
    assert world.show(dataclasses.replace(ONE, power_cycles=1)) == ["stop server-1", "start server-1"]


def test_volumes_are_attached_before_the_start_and_outlive_the_instance(world):
    volumes = {VOLUME: 8}
    with_disk = dataclasses.replace(ONE, disks=(Disk(VOLUME, 8),))
    assert world.show(with_disk, volumes=volumes)[2:] == [f"attach {VOLUME}", "start server-1"]
    assert "destroy server-1" in world.show(volumes=volumes)
    second = dataclasses.replace(with_disk, id="i-0fedcba9876543210")
    assert world.show(second, volumes=volumes)[-2:] == [f"attach {VOLUME}", "start server-1"]


def test_a_mounted_volume_is_a_problem_until_it_is_unmounted(world):
    volumes = {VOLUME: 8}
    world.show(dataclasses.replace(ONE, disks=(Disk(VOLUME, 8),)), volumes=volumes)
    machine = world.reconciler.find(ONE.id)
    machine.mounted = True
    world.view = View(instances={ONE.id: ONE}, groups=GROUPS, volumes=volumes)
    world.reconciler.step()
    world.reconciler._work["server-1"].result(10)
    assert "still mounted" in world.reconciler.hosts["server-1"].problem
    machine.mounted = False
    assert world.show(ONE, volumes=volumes) == [f"detach {VOLUME}"]
    assert world.reconciler.hosts["server-1"].problem is None


def test_a_replaced_instance_waits_for_the_old_one(world):
    world.show(ONE)
    new = dataclasses.replace(ONE, id="i-0fedcba9876543210")
    assert world.show(new) == ["destroy server-1", "rules ['server-1']", "start server-1"]
    assert world.reconciler.find(new.id) is not None


def test_a_host_that_is_held_off_stays_off(world):
    world.show(ONE)
    world.reconciler.hold("server-1", held=True)
    world.reconciler.find(ONE.id).power = Power.OFF
    assert world.show(ONE) == []
    world.reconciler.hold("server-1", held=False)
    assert world.show(ONE) == ["start server-1"]
    with pytest.raises(RehearsalError, match="no server 'server-9'"):
        world.reconciler.hold("server-9", held=True)


@pytest.mark.parametrize("empty", [False, True])
def test_a_server_is_created_anew(world, tmp_path, empty):
    disk = dataclasses.replace(ONE, disks=(Disk(VOLUME, 8),))
    world.show(disk, volumes={VOLUME: 8})
    file = world.fabric.paths.volume(VOLUME)
    file.parent.mkdir(parents=True)
    file.write_text("data")
    world.reconciler.recreate("server-1", empty=empty)
    assert world.fabric.said[-1] == "destroy server-1"
    assert file.exists() is not empty
    assert world.show(disk, volumes={VOLUME: 8}) == ["rules ['server-1']", f"attach {VOLUME}", "start server-1"]


def test_rules_and_addresses_are_set_when_they_change_only(world):
    world.show(ONE)
    assert world.show(ONE, elastic={"203.0.113.10": ONE.address}) == ["elastic {'203.0.113.10': '10.20.0.10'}"]
    assert world.show(ONE, elastic={"203.0.113.10": ONE.address}) == []
