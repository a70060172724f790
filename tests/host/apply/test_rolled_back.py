"""Applies that fail half-way, or are cut off: rolled back, and the line says so."""

from __future__ import annotations

import pytest

from tests.host.fakes import CFG, CNF, ME, fails, make, upload
from userdata.bundle import File
from userdata.host.errors import (
    EXIT_NOT_ROLLED_BACK,
    EXIT_ROLLED_BACK,
    StepError,
)
from userdata.host.swap import Swap
from userdata.host.system import Result


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
