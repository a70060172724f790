"""What a machine must have is known in one place, and the script that installs it knows the same."""

from __future__ import annotations

import re

import pytest

from rehearsal import requirements
from rehearsal.daemon import ROOT
from rehearsal.distribution import DEBIAN, UBUNTU
from rehearsal.shell import Result


@pytest.fixture
def able(tmp_path, monkeypatch):
    """A machine that has everything, whatever this one is."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(requirements.shutil, "which", lambda tool, path: f"/usr/bin/{tool}")
    for distribution in (DEBIAN, UBUNTU):
        monkeypatch.setenv(distribution.keyring_variable, str(tmp_path))
    (tmp_path / "ubuntu.csv").write_text(f"26.04 LTS,Some Name,{UBUNTU.suite},2025-10-09\n")
    monkeypatch.setattr(requirements, "DISTRO_INFO", tmp_path)
    monkeypatch.delenv(UBUNTU.mirror_variable, raising=False)
    monkeypatch.setattr(requirements, "run", lambda command, **_: Result(tuple(command), 0, "", ""))


def test_bootstrap_installs_the_commands_that_the_rehearsal_asks_for():
    text = (ROOT / "tools" / "bootstrap").read_text()
    found = re.search(r"^system_commands='([^']*)'", text, re.MULTILINE)
    assert found is not None
    installed = dict(line.split() for line in found[1].splitlines())
    assert installed == requirements.TOOLS


@pytest.mark.parametrize("distribution", [DEBIAN, UBUNTU], ids=lambda one: one.name)
def test_bootstrap_installs_the_keys_of_both_archives(distribution, monkeypatch):
    monkeypatch.delenv(distribution.keyring_variable, raising=False)
    text = (ROOT / "tools" / "bootstrap").read_text()
    assert str(distribution.keyring) in text
    assert distribution.keyring_package in text


def test_nothing_is_missing_on_a_machine_that_has_everything(able):
    assert requirements.missing() == []


def test_what_is_missing_is_told_at_once(able, monkeypatch, tmp_path):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(requirements.shutil, "which", lambda tool, path: None if tool in {"nft", "tc", "ip"} else tool)
    monkeypatch.setenv(DEBIAN.keyring_variable, str(tmp_path / "none"))
    root, packages, keyring = requirements.missing(DEBIAN)
    assert "needs root" in root
    assert packages == "packages are missing: apt-get install iproute2 nftables"
    assert "debian-archive-keyring" in keyring


def test_keys_of_ubuntus_archive_are_asked_for_only_where_hosts_run_ubuntu(able, monkeypatch, tmp_path):
    monkeypatch.setenv(UBUNTU.keyring_variable, str(tmp_path / "none"))
    assert requirements.missing(DEBIAN) == []
    (problem,) = requirements.missing(UBUNTU)
    assert "apt-get install ubuntu-archive-keyring" in problem
    assert "TRIPOD_UBUNTU_KEYRING" in problem


def test_a_suite_that_mmdebstrap_does_not_know_is_told_before_the_build(able, monkeypatch, tmp_path):
    assert requirements.missing(UBUNTU) == []
    (tmp_path / "ubuntu.csv").write_text("24.04 LTS,Noble Numbat,noble,2023-10-26\n")
    (problem,) = requirements.missing(UBUNTU)
    assert "distro-info-data" in problem
    assert requirements.missing(DEBIAN) == [], "its suites are built in"
    monkeypatch.setenv(UBUNTU.mirror_variable, "http://mine.example/ubuntu")
    assert requirements.missing(UBUNTU) == []


def test_a_container_without_rights_is_told_apart_from_a_machine(able, monkeypatch):
    refused = Result(("unshare",), 1, "", "unshare: unshare failed: Operation not permitted\n")
    monkeypatch.setattr(requirements, "run", lambda *_, **__: refused)
    (problem,) = requirements.missing()
    assert "may not make namespaces" in problem
    assert "Operation not permitted" in problem


def test_another_system_is_told_and_nothing_else(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert requirements.missing() == ["the rehearsal needs Linux; this is Darwin"]
