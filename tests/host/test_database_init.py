"""The data directory before a start: made when it is blank, again when that was cut off, never touched otherwise."""

from __future__ import annotations

import getpass

import pytest

from userdata.host.database_init import MARKER, InitialisationError, initialise, state

MYSQLD = """#!/bin/sh
for word; do case $word in --datadir=*) directory=${word#*=};; esac; done
[ -z "$(ls "$directory")" ] || { echo not empty; exit 1; }
[ -e "$directory/%s" ] || { echo no marker; exit 1; }
echo "$@" > "$directory/mysql.ibd"
exit ${STATUS:-0}
"""


@pytest.fixture
def mysqld(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "mysqld"
    program.parent.mkdir()
    program.write_text(MYSQLD % MARKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def run(directory):
    return initialise(directory, directory.parent / "init.sql", user=getpass.getuser())


def test_a_blank_directory_is_initialised_once(directory, mysqld):
    assert run(directory) == "empty"
    said = (directory / "mysql.ibd").read_text()
    assert "--initialize-insecure" in said
    assert f"--init-file={directory.parent}/init.sql" in said
    assert not (directory / MARKER).exists()
    assert run(directory) == "initialised"
    assert (directory / "mysql.ibd").read_text() == said


def test_the_package_s_flag_is_no_data(directory, mysqld):
    (directory / "debian-5.7.flag").touch()
    assert run(directory) == "empty"
    assert state(directory) == "initialised"
    (directory / "debian-5.7.flag").touch()
    assert run(directory) == "initialised"


def test_what_a_power_cut_left_is_removed(directory, mysqld):
    (directory / MARKER).touch()
    (directory / "mysql.ibd").write_text("half")
    (directory / "mysql").mkdir()
    (directory / "mysql" / "x").touch()
    assert run(directory) == "interrupted"
    assert state(directory) == "initialised"
    assert not (directory / "mysql").exists()


def test_a_failure_leaves_the_marker(directory, mysqld, monkeypatch):
    monkeypatch.setenv("STATUS", "3")
    with pytest.raises(InitialisationError, match="ended with 3"):
        run(directory)
    assert state(directory) == "interrupted"


def test_other_files_are_not_touched(directory, mysqld):
    (directory / "letters.txt").write_text("dear")
    with pytest.raises(InitialisationError, match="no MySQL data directory"):
        run(directory)
    assert [path.name for path in directory.iterdir()] == ["letters.txt"]


def test_lost_and_found_is_nothing(directory):
    (directory / "lost+found").mkdir()
    assert state(directory) == "empty"
