"""Apply, with every way in which it can fail: what runs must be as it was, and one line must say why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from moto import mock_aws

from tests.host.fakes import BUCKET, CFG, CNF, KEY, ME, PARAMETER, SERVER, FakeUnit, Site, fails, make, upload
from userdata.bundle import File
from userdata.host.errors import (
    EXIT_BUNDLE,
    EXIT_CHECK,
    EXIT_LOCKED,
    EXIT_NOT_ROLLED_BACK,
    EXIT_PACKAGES,
    EXIT_ROLLED_BACK,
    EXIT_SECRET,
    StepError,
)
from userdata.host.lock import LOCK_FD, busy, locked
from userdata.host.swap import STATE, Swap
from userdata.host.system import Result


@pytest.fixture
def site(tmp_path):
    with mock_aws():
        yield Site.create(tmp_path)


@pytest.fixture
def applied(site):
    """A site on which a first bundle was applied."""
    upload(site.s3, make())
    site.apply()
    site.machine.log.clear()
    return site


def refused(site, code, *words):
    """Apply must fail with `code`, leave every file and unit alone and name `words` in its line."""
    before, units = site.tree(), {name: unit.active for name, unit in site.machine.units.items()}
    site.machine.log.clear()
    with pytest.raises(StepError) as failure:
        site.apply()
    assert failure.value.code == code
    line = failure.value.line(SERVER)
    assert "\n" not in line
    for word in (SERVER, *words):
        assert word in line
    assert site.tree() == before
    assert {name: unit.active for name, unit in site.machine.units.items()} == units
    assert not [entry for entry in site.machine.log if not entry.startswith("apt-get")]
    assert not list((site.machine.root / "var/tmp").iterdir())
    return line


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


def test_missing_package_without_a_mirror(applied):
    applied.machine.installed.clear()
    applied.machine.faults.append(fails("apt-get", output="E: Could not resolve 'mirror'"))
    refused(applied, EXIT_PACKAGES, "packages", "haproxy", "Could not resolve")


def test_missing_manifest(site):
    refused(site, EXIT_BUNDLE, "bundle", f"s3://{BUCKET}/servers/{SERVER}/manifest.json", "missing", "pulumi up")


def test_missing_object(applied):
    upload(applied.s3, make(haproxy="new\n", extra=[File("/etc/haproxy/new.map", "x", owner=ME)]))
    applied.s3.delete_object(Bucket=BUCKET, Key=f"servers/{SERVER}/files/etc/haproxy/new.map")
    refused(applied, EXIT_BUNDLE, "bundle", "files/etc/haproxy/new.map", "missing", "pulumi up")


def test_wrong_digest_of_an_object(applied):
    upload(applied.s3, make(haproxy="new\n"))
    applied.s3.put_object(Bucket=BUCKET, Key=f"servers/{SERVER}/files{CFG}", Body=b"tampered\n")
    refused(applied, EXIT_BUNDLE, f"servers/{SERVER}/files{CFG}", "digest")


@pytest.mark.parametrize(
    "spoil,word",
    [
        (lambda text: text.replace("0644", "0666"), "does not match its own digest"),
        (lambda text: text[:100], "not a manifest"),
        (lambda text: "[]", "not a manifest"),
        (lambda text: text.replace('"format":1', '"format":9'), "format 9"),
    ],
    ids=["changed", "cut", "list", "format"],
)
def test_damaged_manifest(applied, spoil, word):
    key = f"servers/{SERVER}/manifest.json"
    applied.s3.put_object(Bucket=BUCKET, Key=key, Body=spoil(make(haproxy="new\n").manifest).encode())
    refused(applied, EXIT_BUNDLE, key, word)


def test_manifest_of_another_server(applied):
    other = make().manifest.replace("server-1", "server-2")
    value = {key: item for key, item in json.loads(other).items() if key != "digest"}
    from userdata.host.manifest import digest

    text = json.dumps({**value, "digest": digest(value)})
    applied.s3.put_object(Bucket=BUCKET, Key=f"servers/{SERVER}/manifest.json", Body=text.encode())
    refused(applied, EXIT_BUNDLE, "dev/server-2", "dev/server-1")


def test_another_bundle_than_expected(applied):
    upload(applied.s3, make(haproxy="new\n"))
    with pytest.raises(StepError, match="not the expected sha256:0000"):
        applied.apply(expect="sha256:0000")


def test_missing_secret(applied):
    applied.ssm.delete_parameter(Name=PARAMETER)
    upload(applied.s3, make(haproxy="new\n"))
    refused(applied, EXIT_SECRET, "secrets", PARAMETER, "missing")


def test_bad_haproxy_configuration(applied):
    upload(applied.s3, make(haproxy="rubbish\n"))
    output = (
        "[NOTICE] version\n[ALERT] (1) : config : parsing [x:1] : unknown keyword 'rubbish'\n[ALERT] : Fatal errors"
    )
    applied.machine.faults.append(fails("haproxy", "-c", output=output))
    line = refused(applied, EXIT_CHECK, "check", "haproxy.service", CFG, "unknown keyword 'rubbish'")
    assert "Fatal" not in line


def test_bad_mysql_configuration(applied):
    upload(applied.s3, make(mysql="[mysqld]\nrubbish=1\n"))
    applied.machine.faults.append(fails("mysqld", output="[ERROR] [MY-000067] unknown variable 'rubbish=1'."))
    refused(applied, EXIT_CHECK, "check", "mysql.service", CNF, "unknown variable")


def test_the_staged_file_is_what_is_checked(applied):
    seen = []

    def spy(words):
        if words[0] == "haproxy":
            seen.append(Path(words[-1]).read_text())

    applied.machine.faults.append(spy)
    upload(applied.s3, make(haproxy="new\n"))
    applied.apply()
    assert seen == ["new\n"]


def test_a_unit_that_cannot_be_reloaded_is_rolled_back(applied):
    before = applied.tree()
    cfg = applied.machine.root / CFG.lstrip("/")
    upload(applied.s3, make(haproxy="new\n", mysql="[mysqld]\nx\n"))
    bad = fails("systemctl", "--no-ask-password", "reload", when=lambda: cfg.read_text() == "new\n")
    applied.machine.faults.append(bad)
    with pytest.raises(StepError, match="rolled back") as failure:
        applied.apply()
    assert failure.value.code == EXIT_ROLLED_BACK
    assert applied.tree() == before
    assert applied.machine.log[-1] == "restart mysql.service"
    assert applied.machine.units["mysql.service"].active == "active"
    applied.machine.faults.clear()
    assert applied.apply().paths == (CFG, CNF)


def test_a_unit_that_dies_after_its_restart_is_rolled_back(applied):
    before = applied.tree()
    cnf = applied.machine.root / CNF.lstrip("/")

    def dies(words):
        if words[:2] == ["systemctl", "show"]:
            applied.machine.units["mysql.service"].active = (
                "active" if cnf.read_text() == "[mysqld]\n" else "activating"
            )

    applied.machine.faults += [dies, fails("journalctl", output="")]
    upload(applied.s3, make(mysql="[mysqld]\nbad\n"))
    with pytest.raises(StepError, match=r"mysql.service \(activating/x\) not active.*rolled back") as failure:
        applied.apply()
    assert failure.value.code == EXIT_ROLLED_BACK
    assert applied.tree() == before


def test_a_unit_that_keeps_restarting_does_not_count_as_active(applied):
    cnf = applied.machine.root / CNF.lstrip("/")

    def flaps(words):
        if words[:2] == ["systemctl", "show"] and cnf.read_text() != "[mysqld]\n":
            applied.machine.units["mysql.service"].restarts += 1

    applied.machine.faults.append(flaps)
    upload(applied.s3, make(mysql="[mysqld]\nbad\n"))
    with pytest.raises(StepError, match="keep restarting"):
        applied.apply()


def test_a_roll_back_that_fails_says_so(applied):
    upload(applied.s3, make(haproxy="new\n"))
    applied.machine.faults.append(fails("systemctl", "--no-ask-password", "reload", output="no"))
    with pytest.raises(StepError, match="rolling back failed too") as failure:
        applied.apply()
    assert failure.value.code == EXIT_NOT_ROLLED_BACK


def test_unknown_owner_is_rolled_back(applied):
    before = applied.tree()
    upload(applied.s3, make(haproxy="new\n", extra=[File("/etc/zz", "x", owner="nobody-here:nobody-here")]))
    with pytest.raises(StepError) as failure:
        applied.apply()
    assert failure.value.code == EXIT_ROLLED_BACK
    assert applied.tree() == before


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


def test_an_apply_that_was_cut_off_is_rolled_back_first(applied, capsys):
    before = applied.tree()
    upload(applied.s3, make(haproxy="new\n", extra=[File("/etc/haproxy/a", "x", owner=ME)]))

    class PowerCutError(BaseException):
        pass

    def cut(words):
        if "reload" in words and applied.tree() != before:
            raise PowerCutError

    applied.machine.faults.append(cut)
    with pytest.raises(PowerCutError):
        applied.apply()
    assert Swap(applied.machine.system).interrupted
    assert applied.tree() != before
    applied.machine.faults.clear()
    upload(applied.s3, make())
    applied.apply()
    assert "cut off" in capsys.readouterr().err
    assert applied.tree() == before


def test_two_applies_at_once(applied):
    with locked(applied.machine.system):
        assert busy(applied.machine.system)
        refused(applied, EXIT_LOCKED, "lock", "another apply")
    assert not busy(applied.machine.system)


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


def test_a_staged_tree_that_was_tampered_with_is_refused(applied, tmp_path):
    staging = tmp_path / "staged"
    (staging / "etc/haproxy").mkdir(parents=True)
    (staging / "etc/haproxy/haproxy.cfg").write_text("tampered\n")
    (staging / "manifest.json").write_text(make().manifest)
    from userdata.host.apply import Apply

    with pytest.raises(StepError, match="not what was fetched"):
        Apply(applied.machine.system, applied.identity, applied.s3, applied.ssm).run(staging)


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


def test_a_failed_reload_says_in_the_unit_s_own_words_why(applied):
    upload(applied.s3, make(haproxy="new\n"))
    cfg = applied.machine.root / CFG.lstrip("/")
    log = "[ALERT] cannot bind socket (Address already in use)\n{ a request }\n"
    applied.machine.faults += [
        fails("systemctl", "--no-ask-password", "reload", when=lambda: cfg.read_text() == "new\n"),
        lambda words: Result(0, log) if words[:2] == ["journalctl", "_SYSTEMD_UNIT=haproxy.service"] else None,
    ]
    with pytest.raises(StepError, match="cannot bind socket"):
        applied.apply()
