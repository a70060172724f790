"""Apply: what it puts in place, starts, reloads and leaves alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.host.fakes import CFG, CNF, KEY, ME, PARAMETER, FakeUnit, fails, make, upload
from userdata.bundle import File
from userdata.host.lock import LOCK_FD, locked
from userdata.host.swap import STATE


def test_first_apply(site):
    upload(site.s3, make())
    outcome = site.apply()
    assert site.tree() == {CFG: ("global\n", 0o644), CNF: ("[mysqld]\n", 0o640), KEY: ("hush", 0o400)}
    assert site.machine.log == [
        "enable haproxy.service mysql.service",
        "restart haproxy.service",
        "restart mysql.service",
    ]
    assert outcome.digest == make().digest


def test_second_apply_changes_nothing(applied):
    stamp = {path: (applied.machine.root / path.lstrip("/")).stat().st_mtime_ns for path in (CFG, CNF, KEY)}
    outcome = applied.apply()
    assert outcome.text.startswith("nothing to change")
    assert applied.machine.log == []
    assert stamp == {path: (applied.machine.root / path.lstrip("/")).stat().st_mtime_ns for path in (CFG, CNF, KEY)}


def test_only_what_changed_is_reloaded(applied):
    upload(applied.s3, make(haproxy="global\n# new\n"))
    outcome = applied.apply()
    assert outcome.paths == (CFG,)
    assert applied.machine.log == ["reload haproxy.service"]


def test_new_secret_restarts_its_unit(applied):
    applied.ssm.put_parameter(Name=PARAMETER, Value="hush 2", Type="SecureString", Overwrite=True)
    assert applied.apply().paths == (KEY,)
    assert applied.machine.log == ["restart mysql.service"]
    assert applied.tree()[KEY] == ("hush 2", 0o400)


def test_drop_in_restarts_although_the_action_is_reload(applied):
    drop_in = File("/etc/systemd/system/haproxy.service.d/tripod.conf", "[Service]\n", owner=ME)
    upload(applied.s3, make(extra=[drop_in]))
    applied.apply()
    assert applied.machine.log == ["daemon-reload", "restart haproxy.service"]


def test_a_file_that_left_the_bundle_is_removed(site):
    upload(site.s3, make(extra=[File("/etc/haproxy/old.map", "x", owner=ME)]))
    site.apply()
    site.machine.log.clear()
    upload(site.s3, make())
    assert site.apply().paths == ("/etc/haproxy/old.map",)
    assert "/etc/haproxy/old.map" not in site.tree()
    assert site.machine.log == ["reload haproxy.service"]


def test_files_edited_by_hand_are_put_back(applied):
    (applied.machine.root / CFG.lstrip("/")).write_text("by hand\n")
    (applied.machine.root / CNF.lstrip("/")).chmod(0o666)
    assert applied.apply().paths == (CFG, CNF)
    assert applied.tree()[CFG] == ("global\n", 0o644)
    assert applied.tree()[CNF] == ("[mysqld]\n", 0o640)


def test_a_dead_unit_is_started_again(applied):
    applied.machine.units["mysql.service"].active = "failed"
    assert applied.apply().actions == ("restart mysql.service",)


def test_units_that_do_not_belong_here_are_stopped(site):
    site.machine.units["prometheus.service"] = FakeUnit("active", "enabled")
    upload(site.s3, make(owned_units=["prometheus.service", "keepalived.service", "mysql.service"]))
    site.apply()
    assert site.machine.log[0] == "disable --now prometheus.service"


def test_missing_packages_are_installed_without_being_started(site):
    site.machine.installed.clear()
    policy = site.machine.root / "usr/sbin/policy-rc.d"
    seen = []
    site.machine.faults.append(lambda words: seen.append(policy.exists()) if "install" in words else None)
    upload(site.s3, make())
    site.apply()
    assert [entry.split()[-1] for entry in site.machine.log if "install" in entry] == ["haproxy"]
    assert seen == [True]
    assert not policy.exists()


def test_packages_wait_for_the_lock_of_the_lists(site):
    """Ubuntu's own job holds it for minutes after the first boot, and apt-get does not wait for it."""
    site.machine.installed.clear()
    held = fails(
        "apt-get", output="E: Unable to lock directory /var/lib/apt/lists/", when=lambda: site.machine.time < 240
    )
    site.machine.faults.append(held)
    upload(site.s3, make())
    site.apply()
    assert site.machine.installed == {"haproxy"}
    assert 240 <= site.machine.time < 300


def test_the_staged_file_is_what_is_checked(applied):
    seen = []

    def spy(words):
        if words[0] == "haproxy":
            seen.append(Path(words[-1]).read_text())

    applied.machine.faults.append(spy)
    upload(applied.s3, make(haproxy="new\n"))
    applied.apply()
    assert seen == ["new\n"]


def test_users_are_made_before_their_files(site):
    users = File("/etc/sysusers.d/tripod.conf", "g tripod - -\n", owner=ME)
    seen = []

    def spy(words):
        if words[0] == "systemd-sysusers":
            seen.append((Path(words[1]).read_text(), (site.machine.root / "etc/sysusers.d").exists()))

    site.machine.faults.append(spy)
    upload(site.s3, make(extra=[users]))
    site.apply()
    assert seen == [("g tripod - -\n", False)]


def test_the_lock_survives_the_hand_over(applied, monkeypatch):
    with locked(applied.machine.system) as descriptor:
        monkeypatch.setenv(LOCK_FD, str(os.dup(descriptor)))
        applied.apply()


def test_newer_host_programs_take_over_before_anything_else(applied):
    program = File("/usr/local/lib/tripod/host/apply.py", "print('new')\n", owner=ME)
    before = applied.tree()
    upload(applied.s3, make(haproxy="new\n", extra=[program]))

    class ReplacedError(BaseException):
        pass

    def reexec(staging, expect, lock):
        assert (staging / "usr/local/lib/tripod/host/apply.py").read_text() == "print('new')\n"
        assert (staging / "manifest.json").exists()
        raise ReplacedError

    with pytest.raises(ReplacedError):
        applied.apply(reexec=reexec)
    assert applied.tree() == before


def test_the_same_host_programs_do_not_take_over(applied):
    from userdata.base.files import programs

    upload(applied.s3, make(haproxy="new\n", extra=[File(p.path, p.content, owner=ME) for p in programs()]))
    applied.apply(reexec=lambda staging, expect, lock: pytest.fail("nothing to take over"))


def test_secrets_are_never_readable_by_others(site):
    upload(site.s3, make())
    site.apply()
    state = site.machine.root / STATE.lstrip("/")
    assert state.stat().st_mode & 0o777 == 0o700
    site.ssm.put_parameter(Name=PARAMETER, Value="2", Type="SecureString", Overwrite=True)
    site.apply()
    kept = state / "previous" / KEY.lstrip("/")
    assert kept.read_text() == "hush"
    assert kept.stat().st_mode & 0o777 == 0o400
