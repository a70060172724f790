"""The data volume: found by its stable name, formatted only when blank, mounted once."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from userdata.host import volume
from userdata.host.errors import EXIT_VOLUME, StepError
from userdata.host.system import Result, System

NAME = "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"


class Disks:
    """A fake of blkid, mkfs, mount and findmnt over files that stand for disks."""

    def __init__(self, root):
        self.root = root
        self.mounted = {}
        self.kinds = {}
        self.log = []
        self.time = 0.0
        self.arrive_at = {}
        self.refuses = ""
        (root / "dev/disk/by-id").mkdir(parents=True)
        (root / "sys/dev/block").mkdir(parents=True)

    @property
    def system(self):
        return System(root=self.root, run=self, clock=lambda: self.time, pause=self.pause)

    def pause(self, seconds):
        self.time += seconds
        for name, (at, content) in list(self.arrive_at.items()):
            if self.time >= at:
                self.add(name, content)
                del self.arrive_at[name]

    def add(self, name=NAME, content=bytes(4096), kind=None, device=None):
        disk = self.root / "dev" / (device or f"disk-{len(self.kinds)}")
        disk.write_bytes(content)
        self.kinds[str(disk)] = kind
        (self.root / "dev/disk/by-id" / name).symlink_to(disk)
        return disk

    def __call__(self, command, *, timeout=120.0, env=None):
        words = list(command)
        match words[0]:
            case "blkid":
                kind = self.kinds.get(words[-1])
                if isinstance(kind, Result):
                    return kind
                return Result(0, "".join(f"{k}={v}\n" for k, v in kind.items())) if kind else Result(2)
            case "findmnt":
                source = self.mounted.get(words[-1])
                return Result(0, source) if source else Result(1)
            case "mkfs.ext4":
                self.kinds[words[-1]] = {"TYPE": "ext4", "LABEL": "tripod-data"}
            case "mount":
                self.mounted[words[-1]] = words[-2]
            case "id":
                return Result(1)
        self.log.append(words[0])
        return Result(1, "Permission denied") if words[0] == self.refuses else Result(0)


@pytest.fixture
def disks(tmp_path):
    return Disks(tmp_path)


def test_blank_volume_is_formatted_and_mounted(disks):
    disk = disks.add()
    assert volume.mount(disks.system) == NAME
    assert disks.log == ["mkfs.ext4", "mount", "resize2fs", "mount"]
    assert disks.mounted == {
        str(disks.root / "var/lib/tripod"): str(disk),
        str(disks.root / "var/lib/mysql"): str(disks.root / "var/lib/tripod/mysql"),
    }


def test_a_second_time_does_nothing(disks):
    disks.add()
    volume.mount(disks.system)
    disks.log.clear()
    volume.mount(disks.system)
    assert disks.log == []


def test_two_that_come_at_the_same_time_mount_it_once(disks):
    disks.add()
    asked = threading.Barrier(2, timeout=1)
    look = disks.system.run

    def slowly(command, **options):
        if command[0] == "findmnt":
            # Both have looked before one mounts, unless one waits for the other.
            with contextlib.suppress(threading.BrokenBarrierError):
                asked.wait()
        return look(command, **options)

    system = dataclasses.replace(disks.system, run=slowly)
    with ThreadPoolExecutor(2) as pool:
        mounting = [pool.submit(volume.mount, system) for _ in range(2)]
        assert NAME in [done.result() for done in mounting]
    assert sorted(disks.log) == ["mkfs.ext4", "mount", "mount", "resize2fs"]


def test_a_file_system_that_cannot_grow_serves_as_it_is(disks, capsys):
    disks.add()
    disks.refuses = "resize2fs"
    volume.mount(disks.system)
    assert disks.log == ["mkfs.ext4", "mount", "resize2fs", "mount"]
    assert f"on {NAME} keeps its size (resize2fs: Permission denied)" in capsys.readouterr().out


def test_a_volume_with_data_is_only_mounted_and_grown(disks):
    disks.add(kind={"TYPE": "ext4", "LABEL": "tripod-data"}, content=b"\1" * 4096)
    volume.mount(disks.system)
    assert disks.log == ["mount", "resize2fs", "mount"]


@pytest.mark.parametrize(
    "content,kind,word",
    [
        (bytes(4096), {"TYPE": "xfs"}, "xfs"),
        (bytes(4096), {"PTTYPE": "gpt"}, "gpt"),
        (b"\1" + bytes(4095), None, "unknown kind"),
        (bytes(4096), Result(8, "ambivalent result"), "ambivalent"),
    ],
    ids=["xfs", "partitions", "unknown data", "ambivalent"],
)
def test_anything_else_is_never_formatted(disks, content, kind, word):
    disks.add(content=content, kind=kind)
    with pytest.raises(StepError, match=word) as failure:
        volume.mount(disks.system)
    assert failure.value.code == EXIT_VOLUME
    assert "not formatted" in str(failure.value)
    assert disks.log == []


def test_a_volume_that_cannot_be_read_is_not_formatted(disks):
    disk = disks.add()
    disk.unlink()
    disk.mkdir()
    with pytest.raises(StepError, match="cannot be read"):
        volume.mount(disks.system)


def test_a_late_volume_is_awaited(disks):
    disks.arrive_at[NAME] = (42, bytes(4096))
    assert volume.mount(disks.system) == NAME
    assert 42 <= disks.time < 44


def test_no_volume_at_all(disks):
    with pytest.raises(StepError, match=r"no data volume .* within 300 s"):
        volume.mount(disks.system)
    assert disks.time >= 300


@pytest.mark.parametrize("mine", [True, False])
def test_data_go_to_mysql_whatever_number_they_had(disks, monkeypatch, mine):
    """An old volume at a server whose users have other numbers: nobody there need have the old one."""

    def nameless(number):
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nameless)
    directory = disks.root / "var/lib/tripod/mysql"
    directory.mkdir(parents=True)
    number, given = directory.stat().st_uid, []

    def run(command, **options):
        if command[0] == "chown":
            given.append(tuple(command))
        return Result(0, f"{number if mine else number + 1}\n") if command[0] == "id" else Result(0)

    volume.own(dataclasses.replace(disks.system, run=run))
    assert given == ([] if mine else [("chown", "-R", "mysql:mysql", str(directory))])


def test_partitions_and_second_names_are_not_further_volumes(disks):
    disk = disks.add()
    by_id = disks.root / "dev/disk/by-id"
    (by_id / f"{NAME}_1").symlink_to(disk)
    (by_id / f"{NAME}-part1").symlink_to(disk)
    assert [v.name for v in volume.candidates(disks.system)] == [NAME]


def test_the_root_disk_is_no_candidate(disks):
    import os

    device = disks.root.stat().st_dev
    entry = disks.root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    partition = disks.root / "sys/devices/nvme0n1/nvme0n1p1"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("1")
    entry.symlink_to(partition)
    disks.add(name="nvme-Amazon_Elastic_Block_Store_vol0root", device="nvme0n1")
    disks.add(device="nvme1n1")
    assert [v.name for v in volume.candidates(disks.system)] == [NAME]


def test_of_two_volumes_the_labelled_one_is_ours(disks):
    disks.add(name="nvme-Amazon_Elastic_Block_Store_vol0other", kind={"TYPE": "ext4", "LABEL": "restore"})
    disks.add(kind={"TYPE": "ext4", "LABEL": "tripod-data"})
    assert volume.mount(disks.system) == NAME


def test_two_blank_volumes_are_ambiguous(disks):
    disks.add()
    disks.add(name="nvme-Amazon_Elastic_Block_Store_vol0other")
    with pytest.raises(StepError, match="2 volumes could be the data volume"):
        volume.mount(disks.system)
    assert disks.log == []
