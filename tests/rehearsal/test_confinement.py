"""AppArmor's profiles of this machine that hold for programs of hosts."""

from __future__ import annotations

from rehearsal.confinement import confined, warning

LOADED = """\
/usr/bin/man (enforce)
rsyslogd (enforce)
/usr/sbin/mysqld (complain)
/usr/sbin/haproxy//helper (kill)
/usr/lib/snapd/snap-confine//mount-namespace-capture-helper (enforce)
Discord (unconfined)
prometheus-like (enforce)
"""


def test_profiles_that_restrict_a_program_of_hosts_are_found(tmp_path):
    profiles = tmp_path / "profiles"
    profiles.write_text(LOADED)
    assert confined(profiles) == ("haproxy", "rsyslogd")
    profiles.write_text("")
    assert confined(profiles) == ()


def test_a_machine_without_apparmor_confines_nothing(tmp_path):
    assert confined(tmp_path / "profiles") == ()


def test_the_warning_says_how_to_lift_it():
    assert "apparmor_parser --remove /etc/apparmor.d/usr.sbin.rsyslogd" in warning(("rsyslogd",))
