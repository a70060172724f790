"""The image's recipe, its cache and its failures, with a stand-in for mmdebstrap; and what the real one holds."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from pathlib import Path

import pytest

from components import lookups
from rehearsal import distribution, image, image_settings, mirror
from rehearsal.distribution import DEBIAN, DISTRIBUTIONS, UBUNTU
from rehearsal.shell import RehearsalError

BUILDS = """\
#!/bin/sh
for argument in "$@"; do case $argument in */image-*) root=$argument;; esac; done
mkdir -p "$root/etc" "$root/var/lib/mysql/mysql" "$root/var/log/mysql" "$root/var/lib/dbus" "$root/etc/apt/apt.conf.d"
echo a > "$root/var/lib/mysql/auto.cnf"; echo vm > "$root/etc/hostname"; echo 1 > "$root/etc/machine-id"
echo "$@" >> "$(dirname "$root")/calls"
echo "I: downloading packages with apt..." >&2
echo "chatter" >&2
"""
KEEPS_KEYS = """
to=$(dirname "$root")/keys
for argument in "$@"; do case $argument in --keyring=*) cp -r "${argument#--keyring=}" "$to";; esac; done
"""
FAILS = """\
#!/bin/sh
for argument in "$@"; do case $argument in */image-*) mkdir -p "$argument/half";; esac; done
echo "E: Unable to locate package haproxy" >&2
exit 25
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a script in mmdebstrap's place (and `unshare`, which needs root, aside)."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def install(script):
        for name, text in (("mmdebstrap", script), ("unshare", '#!/bin/sh\nshift 4\nexec "$@"\n')):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

    for wanted in DISTRIBUTIONS.values():
        (tmp_path / wanted.name).write_text("keys")
        monkeypatch.setenv(wanted.keyring_variable, str(tmp_path / wanted.name))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return install


def test_the_image_is_built_once_and_adjusted(tmp_path, stand_in):
    stand_in(BUILDS)
    said = []
    root = image.ensure(said.append, tmp_path / "cache")
    assert root == image.ensure(said.append, tmp_path / "cache")
    calls = (tmp_path / "cache/calls").read_text().splitlines()
    assert len(calls) == 1
    assert "haproxy" in calls[0]
    assert 'Acquire::Check-Valid-Until "false"' in calls[0]
    assert "downloading packages with apt..." in said
    assert "chatter" not in said
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "etc/hostname").exists()
    assert list((root / "var/lib/mysql").iterdir()) == []
    assert "strict_id: false" in (root / "etc/cloud/cloud.cfg.d/90_tripod_rehearsal.cfg").read_text()
    assert (root / "etc/systemd/system/console-getty.service").readlink().name == "null"


def test_a_failed_build_says_why_and_leaves_nothing(tmp_path, stand_in):
    stand_in(FAILS)
    with pytest.raises(RehearsalError, match=r"exit code 25(.|\n)*Unable to locate package haproxy"):
        image.ensure(cache=tmp_path)
    assert not list(tmp_path.glob("image-*/")), "neither a half image nor one that looks whole"
    assert "haproxy" in (tmp_path / f"image-{image.key()}.log").read_text()


def test_a_hanging_build_is_ended(tmp_path, stand_in, monkeypatch):
    stand_in("#!/bin/sh\necho stuck >&2\nsleep 97\n")
    monkeypatch.setattr(image, "BUILD_TIMEOUT", 0.5)
    with pytest.raises(RehearsalError, match=r"not built in 0 s(.|\n)*stuck"):
        image.ensure(cache=tmp_path)


def test_an_abandoned_build_is_removed(tmp_path, stand_in):
    stand_in(BUILDS)
    abandoned = tmp_path / "image-0123456789abcdef.building"
    (abandoned / "usr").mkdir(parents=True)
    image.ensure(cache=tmp_path)
    assert not abandoned.exists()


def test_a_second_process_waits_for_the_first(tmp_path, stand_in):
    stand_in(FAILS)  # would fail if it built instead of waiting
    waiting = threading.Event()
    answer = []
    with (tmp_path / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(
            target=lambda: answer.append(image.ensure(lambda line: "waiting" in line and waiting.set(), tmp_path))
        )
        other.start()
        assert waiting.wait(10)
        image.path(tmp_path).mkdir()
    other.join(10)
    assert answer == [image.path(tmp_path)]


def test_only_root_builds(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RehearsalError, match="needs root"):
        image.ensure(cache=tmp_path)


def test_the_key_is_that_of_the_recipe(monkeypatch):
    before = image.key()
    assert before == image.key()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "nginx"))
    added = image.key()
    monkeypatch.setitem(image_settings.FILES, "etc/motd", "changed")
    assert len({before, added, image.key()}) == 3


TARGETS = """\
Contents-deb http://mirror.example/debian bookworm
Packages http://security.example/debian-security bookworm-security
Packages http://mirror.example/debian bookworm-updates
Packages http://mirror.example/debian bookworm
"""


@pytest.mark.parametrize(
    "named, os_release, targets, expected",
    [
        ("", "NAME=x\nID=debian\n", TARGETS, ["http://mirror.example/debian"]),
        ("http://mine.example/debian", "ID=debian\n", TARGETS, ["http://mine.example/debian"]),
        ("", "ID=ubuntu\nID_LIKE=debian\n", TARGETS, []),
        ("", "ID=debian\n", "", []),
        ("", "", TARGETS, []),
    ],
)
def test_the_mirror_is_the_machines_own(monkeypatch, named, os_release, targets, expected):
    monkeypatch.setenv("TRIPOD_DEBIAN_MIRROR", named)
    assert mirror.mirror(DEBIAN, os_release, targets) == expected


def test_ubuntus_mirror_is_named_or_mmdebstraps_own(monkeypatch):
    """Its own takes the updates along; that of a machine that runs Debian has no Ubuntu."""
    monkeypatch.delenv("TRIPOD_UBUNTU_MIRROR", raising=False)
    assert mirror.mirror(UBUNTU, "ID=debian\n", TARGETS) == []
    monkeypatch.setenv("TRIPOD_UBUNTU_MIRROR", "http://mine.example/ubuntu")
    assert mirror.mirror(UBUNTU) == ["http://mine.example/ubuntu"]


@pytest.mark.parametrize("wanted", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_each_distribution_has_an_image_of_its_own(tmp_path, stand_in, monkeypatch, wanted):
    stand_in(BUILDS)
    monkeypatch.setenv(distribution.VARIABLE, "debian")
    root = image.ensure(cache=tmp_path, distribution=wanted)
    (call,) = (tmp_path / "calls").read_text().splitlines()
    words = call.split()
    assert words[words.index(str(root) + ".building") - 1] == wanted.suite
    assert f"--components={','.join(wanted.components)}" in words
    others = [image.path(tmp_path, other) for other in DISTRIBUTIONS.values() if other != wanted]
    assert root not in others


@pytest.mark.parametrize("text, ending", [("binary", "gpg"), ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "asc")])
def test_apt_trusts_the_keys_of_that_archive_only(tmp_path, stand_in, monkeypatch, text, ending):
    (tmp_path / "mine.pgp").write_text(text)
    monkeypatch.setenv("TRIPOD_UBUNTU_KEYRING", str(tmp_path / "mine.pgp"))
    stand_in(BUILDS + KEEPS_KEYS)
    image.ensure(cache=tmp_path, distribution=UBUNTU)
    (key,) = (tmp_path / "keys").iterdir()
    assert (key.name, key.read_text()) == (f"ubuntu-archive.{ending}", text)
    directory = re.search(r"--keyring=(\S+)", (tmp_path / "calls").read_text())
    assert directory is not None
    assert not Path(directory[1]).exists(), "it is removed afterwards"


def test_the_environment_chooses_and_an_option_overrides_it(monkeypatch):
    monkeypatch.delenv(distribution.VARIABLE, raising=False)
    assert distribution.chosen() == DEBIAN
    monkeypatch.setenv(distribution.VARIABLE, "ubuntu")
    assert distribution.chosen() == UBUNTU
    assert distribution.chosen("debian") == DEBIAN
    monkeypatch.setenv(distribution.VARIABLE, "fedora")
    with pytest.raises(RehearsalError, match=r"TRIPOD_DISTRIBUTION: 'fedora' .* debian or ubuntu"):
        distribution.chosen()


def test_ubuntus_image_is_the_release_that_servers_run():
    assert "/26.04/" in lookups.UBUNTU
    assert "26.04" in UBUNTU.what


@pytest.mark.native
def test_the_real_image_is_a_plain_host():
    root = image.ensure()
    for program in ("usr/sbin/haproxy", "usr/sbin/mysqld", "usr/sbin/keepalived", "usr/bin/prometheus", "usr/sbin/nft"):
        assert (root / program).exists(), program
    assert list((root / "var/lib/mysql").iterdir()) == []
    assert (root / "etc/machine-id").read_bytes() == b""
    wanted = {link.name for link in root.glob("etc/systemd/system/*.wants/*")}
    assert not wanted & set(image_settings.DISABLED_UNITS)
    assert "cloud-init-main.service" in wanted
    assert not (root / "usr/sbin/policy-rc.d").exists()
