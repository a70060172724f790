"""Before the package of MySQL is configured, an option file keeps every mysqld of its from the data."""

from __future__ import annotations

import pytest
from moto import mock_aws

from tests.host.fakes import ME, SERVER, STACK, FakeMachine, Site, fails, upload
from userdata.bundle import Bundle, File, Part, Unit
from userdata.host import packages
from userdata.host.database_package import CONFIGURATION, GUARD
from userdata.host.errors import StepError


@pytest.fixture
def machine(tmp_path):
    """Notes what stands in the option file when apt begins."""
    machine = FakeMachine(tmp_path)
    machine.seen = []

    def note(words):
        if words[0] == "apt-get":
            machine.seen.append(machine.system.path(CONFIGURATION).read_text())

    machine.faults.append(note)
    return machine


def test_it_is_there_before_apt_begins(machine):
    assert packages.install(machine.system, ["mysql-server"]) == ["mysql-server"]
    assert machine.seen == [GUARD, GUARD]
    assert machine.system.path(CONFIGURATION).stat().st_mode & 0o777 == 0o644, "mysqld reads it as its own user"


def test_it_stays_when_apt_fails_half_way(machine):
    machine.faults.append(fails("apt-get", output="E: sub-process returned an error"))
    with pytest.raises(StepError):
        packages.install(machine.system, ["mysql-server"])
    assert machine.system.path(CONFIGURATION).read_text() == GUARD


def test_an_image_that_has_the_package_is_guarded_until_the_configuration_comes(machine):
    machine.installed.add("mysql-server")
    assert packages.install(machine.system, ["mysql-server"]) == []
    assert machine.system.path(CONFIGURATION).read_text() == GUARD


def test_the_stack_s_configuration_is_left_alone(machine):
    path = machine.system.path(CONFIGURATION)
    path.parent.mkdir(parents=True)
    path.write_text("[mysqld]\nserver_id = 1\n")
    packages.install(machine.system, ["mysql-server"])
    assert path.read_text() == "[mysqld]\nserver_id = 1\n"


def test_a_server_without_mysql_gets_none(machine):
    machine.faults.clear()
    packages.install(machine.system, ["haproxy"])
    assert not machine.system.path(CONFIGURATION).exists()


def test_a_server_that_stops_being_a_database_server_is_guarded_again(tmp_path):
    """The package stays, and is upgraded; so do the data, and the server may get its role back."""
    database = Part(files=(File(CONFIGURATION, "[mysqld]\nserver_id = 1\n", owner=ME),), packages=("mysql-server",))
    other = Part(units=(Unit("haproxy.service"),))
    with mock_aws():
        site = Site.create(tmp_path)
        for parts, text in (([database, other], "[mysqld]\nserver_id = 1\n"), ([other], GUARD), ([other], GUARD)):
            upload(site.s3, Bundle.of(STACK, SERVER, parts))
            site.apply()
            assert site.tree()[CONFIGURATION][0] == text
