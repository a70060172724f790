"""Accounts and schema: what is said to MySQL, and what is not said again."""

from __future__ import annotations

import pymysql
import pytest

from tests.host.test_role_check import DATABASE
from userdata.host import accounts
from userdata.host.accounts import ACCOUNTS, DEFINITION, LOCAL_ACCOUNTS, ensure_local, reconcile, statements


class Fake:
    """A connection that remembers statements and answers queries by their first matching text."""

    def __init__(self, **answers):
        self.answers = answers
        self.ran = []

    def rows(self, statement, parameters=()):
        for text, rows in self.answers.items():
            if text in statement:
                if isinstance(rows, Exception):
                    raise rows
                return rows
        return []

    def run(self, statement, parameters=()):
        self.ran.append((statement % tuple(repr(p) for p in parameters)) if parameters else statement)


@pytest.fixture
def database(tmp_path):
    for account in ACCOUNTS:
        (tmp_path / account.name).write_text(f"pass-of-{account.name}\n")
    return type(DATABASE)(**{**vars(DATABASE), "secrets": str(tmp_path)})


@pytest.fixture
def schema(tmp_path, monkeypatch):
    path = tmp_path / "schema.sql"
    monkeypatch.setattr(accounts, "SCHEMA", path)
    return path


def users(**changes):
    return [{"user": a.name, "old": 0, "settled": 0} | changes.get(a.name, {}) for a in ACCOUNTS]


NO_TABLE = pymysql.OperationalError(1049, "Unknown database 'tripod'")
APPLIED = [{"name": "accounts", "digest": DEFINITION}]


def test_a_new_group_gets_accounts_before_anything_else(database, schema):
    schema.write_text("CREATE TABLE t (id INT PRIMARY KEY);\n")
    connection = Fake(**{"tripod.applied": NO_TABLE})
    done = reconcile(connection, database, login=None)
    assert done[:5] == [f"created {account.name}" for account in ACCOUNTS]
    assert done[-1] == "applied the schema"
    create = connection.ran[0]
    assert create == (
        "CREATE USER 'app_writer'@'%' IDENTIFIED WITH caching_sha2_password BY 'pass-of-app_writer' REQUIRE SSL"
    )
    text = "\n".join(connection.ran)
    assert text.index("GRANT SELECT ON app.*") < text.index("tripod.applied") < text.index("CREATE TABLE t")


def test_nothing_is_said_twice(database, schema):
    connection = Fake(**{"mysql.user": users(), "tripod.applied": APPLIED})
    assert reconcile(connection, database, login=lambda user, password: True) == []
    assert connection.ran == []


def test_a_changed_password_keeps_the_old_one_for_a_while(database, schema):
    connection = Fake(**{"mysql.user": users(), "tripod.applied": APPLIED})
    done = reconcile(connection, database, login=lambda user, password: user != "app_reader")
    assert done == ["changed the password of app_reader"]
    assert connection.ran == ["ALTER USER 'app_reader'@'%' IDENTIFIED BY 'pass-of-app_reader' RETAIN CURRENT PASSWORD"]


def test_the_old_password_goes(database, schema):
    aged = users(app_reader={"old": 1, "settled": 1}, backup={"old": 1, "settled": 0})
    connection = Fake(**{"mysql.user": aged, "tripod.applied": APPLIED})
    done = reconcile(connection, database, login=lambda user, password: True)
    assert done == ["discarded the old password of app_reader"]
    assert connection.ran == ["ALTER USER 'app_reader'@'%' DISCARD OLD PASSWORD"]


def test_changed_grants_reach_accounts_that_exist(database, schema):
    applied = [{"name": "accounts", "digest": "older"}]
    connection = Fake(**{"mysql.user": users(), "tripod.applied": applied})
    reconcile(connection, database, login=lambda user, password: True)
    assert "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'app_reader'@'%'" in connection.ran
    assert "GRANT SELECT ON app.* TO 'app_reader'@'%'" in connection.ran


def test_a_missing_password_is_an_error_that_names_the_file(database, schema, tmp_path):
    (tmp_path / "backup").unlink()
    with pytest.raises(FileNotFoundError, match="backup"):
        reconcile(Fake(), database, login=lambda user, password: True)


def test_nothing_reported_holds_a_password(database, schema):
    said = reconcile(Fake(**{"tripod.applied": NO_TABLE}), database, login=lambda user, password: False)
    assert "pass-of" not in "\n".join(said)


def test_no_account_may_write_beyond_its_purpose():
    writing = ("INSERT", "UPDATE", "DELETE", "ALL", "SUPER", "CREATE", "DROP", "ALTER", "GRANT OPTION", "FILE")
    for account in ACCOUNTS:
        for grant in account.grants:
            found = {word for word in writing if word in grant.partition(" ON ")[0].replace("CREATE VIEW", "")}
            assert found <= ({"INSERT", "UPDATE", "DELETE"} if account.name == "app_writer" else set())


def test_a_restored_copy_takes_the_passwords_of_today(database):
    """Otherwise nobody could join a group that begins with it; an account that is not there is made by the primary."""
    there = [row for row in users() if row["user"] != "backup"]
    connection = Fake(**{"mysql.user": there})
    accounts.take_over(connection, database)
    expected = [f"ALTER USER '{one.name}'@'%' IDENTIFIED BY 'pass-of-{one.name}'" for one in ACCOUNTS]
    assert connection.ran == [one for one in expected if "'backup'" not in one]


def test_a_foreign_data_directory_gets_its_local_accounts(tmp_path):
    path = tmp_path / "initialise.sql"
    path.write_text("-- why\nINSTALL PLUGIN auth_socket SONAME 'x';\nCREATE USER 'role_check'@'localhost';\n")
    connection = Fake(**{"mysql.plugin": [{"name": "auth_socket"}]})
    assert ensure_local(connection, path) == ["created the local accounts"]
    assert connection.ran == [
        "SET SESSION sql_log_bin = OFF",
        "SET GLOBAL super_read_only = OFF",
        "CREATE USER 'role_check'@'localhost'",
        "SET GLOBAL super_read_only = ON",
        "SET SESSION sql_log_bin = ON",
    ]


@pytest.mark.parametrize("lacking", [set(), *({name} for name in LOCAL_ACCOUNTS)])
def test_a_data_directory_that_lacks_a_local_account_gets_it(tmp_path, lacking):
    path = tmp_path / "initialise.sql"
    path.write_text("CREATE USER IF NOT EXISTS 'role_check'@'localhost';\n")
    there = [{"user": name} for name in {"root", *LOCAL_ACCOUNTS} - lacking]
    assert bool(ensure_local(Fake(**{"mysql.user": there}), path)) is bool(lacking)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", []),
        ("-- only\n# remarks\n", []),
        ("A;\nB", ["A", "B"]),
        ("A (x,\n  'a;b'  -- y\n);\n\nB;", ["A (x,\n  'a;b'  -- y\n)", "B"]),
        ("CALL p('50%'); \n", ["CALL p('50%')"]),
    ],
)
def test_statements(text, expected):
    assert statements(text) == expected
