"""What the daemons beside mysqld share: when it reads its certificates."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pymysql
import pytest

from userdata.host import local_mysqld
from userdata.host.local_mysqld import LocalMysqld

RELOAD = "ALTER INSTANCE RELOAD TLS"


class Session:
    """A connection that writes down what it is asked, and fails while `broken`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False

    def run(self, statement: str) -> None:
        if self.broken:
            raise pymysql.OperationalError(2013, "Lost connection")
        self.asked.append(statement)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local_mysqld, "CERTIFICATES", tmp_path / "tls")
    (tmp_path / "tls").mkdir()
    file = tmp_path / "tls/server.pem"
    renew(file, 1)
    return file


def renew(file: Path, at: int) -> None:
    """As an apply does it: another file of the same name."""
    new = file.with_suffix(".new")
    new.touch()
    os.utime(new, (at, at))
    new.replace(file)


def watching(session: Any) -> LocalMysqld:
    found = LocalMysqld(logging.getLogger("test"))
    found.connection = session
    return found


def test_certificates_are_read_once_by_a_new_program_and_whenever_they_were_renewed(certificate: Path) -> None:
    session = Session()
    mysqld = watching(session)
    for _ in range(3):
        mysqld.read_renewed_certificates()
    assert session.asked == [RELOAD], "renewed by the apply that started this program, for all it knows"
    renew(certificate, 2)
    for _ in range(3):
        mysqld.read_renewed_certificates()
    assert session.asked == [RELOAD] * 2


def test_a_renewal_that_was_not_read_is_read_later(certificate: Path) -> None:
    session = Session()
    mysqld = watching(session)
    mysqld.read_renewed_certificates()
    renew(certificate, 2)
    session.broken = True
    with pytest.raises(pymysql.OperationalError):
        mysqld.read_renewed_certificates()
    mysqld.connection = None
    mysqld.read_renewed_certificates()
    session.broken, mysqld.connection = False, session  # type: ignore[assignment]
    mysqld.read_renewed_certificates()
    assert session.asked == [RELOAD] * 2


def test_without_certificates_there_is_nothing_to_read(certificate: Path) -> None:
    certificate.unlink()
    session = Session()
    watching(session).read_renewed_certificates()
    assert session.asked == []
