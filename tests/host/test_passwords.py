"""Changed passwords: what is fetched on the primary before a roll-out, and when MySQL has taken them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pymysql
import pytest
from moto import mock_aws

from tests.host.fakes import CFG, KEY, ME, PARAMETER, SERVER, STACK, Site, upload
from userdata.bundle import Bundle, File, Part, Secret, Unit
from userdata.host import passwords
from userdata.host.accounts import ACCOUNTS
from userdata.host.errors import StepError
from userdata.host.passwords import ACCEPTED_SECONDS, renew
from userdata.host.swap import Swap

FOLDER = "/etc/tripod/secrets/mysql"
APP = "/etc/tripod/secrets/app_writer"


def parameter(account: str) -> str:
    return f"/tripod/dev/mysql/{account}/password"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The primary, with every account's password and the application's own file of one."""
    monkeypatch.setattr(passwords.Database, "load", lambda _: SimpleNamespace(secrets=FOLDER))
    with mock_aws():
        found = Site.create(tmp_path)
        own = [Secret(f"{FOLDER}/{one.name}", parameter(one.name), "0400", ME) for one in ACCOUNTS]
        for one in ACCOUNTS:
            change(found, one.name, f"old-{one.name}")
        secrets = (*own, Secret(APP, parameter("app_writer"), "0440", ME), Secret(KEY, PARAMETER, "0400", ME))
        unit = Unit("haproxy.service", ("/etc/haproxy/",), action="reload")
        part = Part(files=(File(CFG, "global\n", owner=ME),), secrets=secrets, units=(unit,))
        upload(found.s3, Bundle.of(STACK, SERVER, [part]))
        found.apply()
        found.machine.journal.clear()
        found.machine.log.clear()
        yield found


def change(site: Site, account: str, value: str) -> None:
    site.ssm.put_parameter(Name=parameter(account), Value=value, Type="SecureString", Overwrite=True)


def run(site: Site, login=lambda *_: True) -> str:
    return renew(site.machine.system, site.identity, site.ssm, login)


def content(site: Site, path: str) -> str:
    return (site.machine.root / path.lstrip("/")).read_text()


def test_only_what_mysql_is_told_is_fetched(site: Site):
    """The application goes on with the old one, which stays valid, until its server gets its bundle."""
    change(site, "app_writer", "new")
    assert run(site) == "MySQL takes the new passwords of app_writer"
    assert content(site, f"{FOLDER}/app_writer") == "new"
    assert (site.machine.root / FOLDER.lstrip("/") / "app_writer").stat().st_mode & 0o777 == 0o400
    assert content(site, APP) == "old-app_writer"
    assert site.machine.log == [], "no unit was touched"
    (line,) = site.machine.journal
    assert json.loads(line[1])["paths"] == [f"{FOLDER}/app_writer"]
    assert "new" not in line[1]
    outcome = site.apply()
    assert outcome.paths == (APP,)


def test_nothing_changes_when_nothing_has_changed(site: Site):
    before = site.tree()
    assert run(site) == "no password has changed"
    assert (site.tree(), site.machine.journal) == (before, [])


def test_it_waits_until_mysql_takes_every_one(site: Site):
    change(site, "replication", "new")
    tried: list[tuple[str, str]] = []

    def login(_: object, user: str, password: str) -> bool:
        tried.append((user, password))
        if len(tried) == 1:
            raise pymysql.OperationalError(2003, "connection refused")
        return password != "new" or site.machine.time >= 2

    assert "replication" in run(site, login)
    assert ("replication", "new") in tried
    assert 2 <= site.machine.time < 3


def test_a_password_that_mysql_never_takes_is_told(site: Site):
    """This server is no primary any more, for one."""
    with pytest.raises(StepError, match="MySQL does not take the password of monitoring after 30 s") as error:
        run(site, lambda _, user, __: user != "monitoring")
    assert site.machine.time >= ACCEPTED_SECONDS
    assert "old-" not in str(error.value)


def test_an_apply_that_was_cut_off_is_left_to_the_next_one(site: Site, monkeypatch: pytest.MonkeyPatch):
    change(site, "backup", "new")
    monkeypatch.setattr(Swap, "interrupted", True)
    assert "no bundle is whole here" in run(site)
    assert content(site, f"{FOLDER}/backup") == "old-backup"


def test_a_parameter_that_is_missing_is_told_and_changes_nothing(site: Site):
    change(site, "backup", "new")
    site.ssm.delete_parameter(Name=parameter("replication"))
    before = site.tree()
    with pytest.raises(StepError, match="replication/password missing in SSM"):
        run(site)
    assert site.tree() == before
