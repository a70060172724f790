"""Jobs that are ended in the middle: what they had begun is removed, at once or by the next job."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pymysql
import pytest
from moto import mock_aws

from userdata.host import backup, backup_command, backup_mysqld
from userdata.host.backup_mysqld import tidy
from userdata.host.backup_store import BackupError
from userdata.host.identity import Identity

REGION = "us-east-1"
HERE = SimpleNamespace(server="server-1")

# Another program with a scratch directory, which its end does not remove.
HOLDER = """
import sys
from pathlib import Path
from userdata.host.backup_mysqld import Scratch
scratch = Scratch(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of scratch directories."""
    monkeypatch.setattr(backup_mysqld.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(backup_mysqld, "_room", lambda *_: None)
    monkeypatch.setattr(backup_mysqld, "make", partial(backup_mysqld.make, parent=tmp_path / "backup"))
    monkeypatch.setattr(backup_mysqld, "tidy", partial(backup_mysqld.tidy, tmp_path / "backup"))
    (tmp_path / "backup").mkdir()
    return tmp_path / "backup"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a command as its unit does; exit code and the job's file."""
    monkeypatch.setattr(Identity, "load", lambda _: Identity("dev", "server-1", "tripod-dev-1", REGION))
    monkeypatch.setattr(backup_command.Database, "load", lambda: HERE)
    before = signal.getsignal(signal.SIGTERM)

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "job.json"
        code = backup_command.main([*words, "--job", str(file)])
        return code, json.loads(file.read_text())

    with mock_aws():
        boto3.client("s3", REGION).create_bucket(Bucket="tripod-dev-bk-1")
        yield run
    signal.signal(signal.SIGTERM, before)


def test_a_backup_that_is_told_to_end_leaves_nothing(place: Path, job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(_: Any, directory: str) -> None:
        Path(directory).mkdir()
        signal.raise_signal(signal.SIGTERM)

    remove = backup_mysqld.Scratch.remove

    def interrupted(scratch: backup_mysqld.Scratch) -> None:
        signal.raise_signal(signal.SIGTERM)
        remove(scratch)

    monkeypatch.setattr(backup, "_require_member", lambda _: None)
    monkeypatch.setattr(backup, "_clone", clone)
    monkeypatch.setattr(backup_mysqld.Scratch, "remove", interrupted)
    code, told = job("now")
    assert code == 0, "its unit has not failed"
    assert told["done"]
    assert "SIGTERM" in told["error"]
    assert list(place.iterdir()) == []


def test_the_next_job_removes_what_killed_ones_left_and_nothing_else(place: Path, job: Any) -> None:
    for name in ("clone-old", "drill-old", "drill-running", "look", "stack", "before-restore-1"):
        (place / name / "data").mkdir(parents=True)
    (place / "shipped.json").touch()
    words = [sys.executable, "-c", HOLDER, str(place / "drill-running")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        job("restore", "--name", "look")
        assert sorted(path.name for path in place.iterdir()) == [
            *("before-restore-1", "drill-running", "look", "shipped.json", "stack")
        ]
        holder.kill()
    job("restore", "--name", "look")
    assert not (place / "drill-running").exists()


def test_what_cannot_be_removed_is_told_and_holds_nothing_up(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "clone-old").mkdir()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(backup_mysqld.shutil, "rmtree", refuse)
    tidy(place)
    assert "clone-old" in caplog.text
    assert "Permission denied" in caplog.text


def test_a_running_jobs_own_directory_is_locked_from_the_beginning(place: Path) -> None:
    scratch = backup_mysqld.make("clone-new", 1)
    tidy(place)
    assert scratch.directory.is_dir()
    scratch.remove()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["clone-look", "drill-look"])
def test_a_copy_that_stays_has_no_temporary_name(place: Path, job: Any, name: str) -> None:
    code, told = job("restore", "--name", name)
    assert code == 1
    assert "choose another name" in told["error"]


LOST = pymysql.OperationalError(2013, "Lost connection to MySQL server during query (timed out)")
DOWN = pymysql.OperationalError(2003, "Can't connect to MySQL server on 'localhost'")


@pytest.mark.parametrize("why", [SystemExit(), LOST, OSError(5, "Input/output error")], ids=["SIGTERM", "late", "disk"])
@pytest.mark.parametrize("after", [None, DOWN], ids=["", "mysqld is gone"])
def test_a_clone_that_nobody_waits_for_is_ended_in_mysqld(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: BaseException, after: Exception | None
) -> None:
    asked: list[tuple[str, tuple[Any, ...]]] = []
    left = [[{"1": 1}], []]

    class Session:
        """A connection, in whose CLONE `why` is raised, and `after` when that is to be ended."""

        def __init__(self, **_: Any) -> None: ...
        def __enter__(self) -> Session:
            return self

        def __exit__(self, *_: object) -> None: ...
        def cursor(self) -> Session:
            return self

        def execute(self, *_: Any) -> None:
            raise why

        def thread_id(self) -> int:
            return 77

        def close(self) -> None: ...
        def run(self, statement: str, parameters: tuple[Any, ...]) -> None:
            asked.append((statement, parameters))
            if after:
                raise after

        def rows(self, *_: Any) -> list[dict[str, int]]:
            return left.pop(0)

    monkeypatch.setattr(backup.pymysql, "connect", Session)
    monkeypatch.setattr(backup, "Connection", Session)
    monkeypatch.setattr(backup.ssl, "create_default_context", lambda **_: None)
    monkeypatch.setattr(backup.time, "sleep", lambda _: None)
    me = SimpleNamespace(address="10.20.0.10")
    facts = SimpleNamespace(me=me, mysql_port=3306, ca_file="ca", password=lambda _: "secret")
    with pytest.raises(type(why)) as raised:
        backup._clone(facts, "/scratch/data")
    assert raised.value is why
    assert asked == [("KILL %s", (77,))]
    assert (left == []) == (after is None)
    assert ("could not be ended" in caplog.text) == (after is not None)


def test_no_copy_is_begun_with_the_same_name(place: Path) -> None:
    backup_mysqld.make("look", 1)
    with pytest.raises(BackupError, match="exists"):
        backup_mysqld.make("look", 1)
