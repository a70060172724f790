"""The lock of a stack, and which stacks of test runs count as left behind."""

from __future__ import annotations

import os

import pytest

from rehearsal.daemon import Daemon
from rehearsal.paths import StackPaths
from rehearsal.shell import RehearsalError
from tests.rehearsal.stack import is_stale


@pytest.fixture
def daemon(tmp_path):
    found = Daemon("x")
    found.paths = StackPaths("x", tmp_path)
    return found


def test_a_second_command_is_refused_and_a_stack_that_is_gone_leaves_no_lock(daemon, tmp_path):
    with daemon.exclusive(), pytest.raises(RehearsalError, match="another command"), daemon.exclusive():
        pass
    assert not list(tmp_path.iterdir())


def test_a_stack_that_is_there_keeps_its_lock(daemon, tmp_path):
    daemon.paths.directory.mkdir()
    with daemon.exclusive():
        pass
    assert (tmp_path / "x.lock").exists()


def test_only_stacks_of_test_runs_that_are_gone_are_stale():
    gone = 2**22 + 1  # beyond the kernel's highest process id
    assert is_stale(f"ref-{gone}")
    assert is_stale(f"test-{gone}-2")
    assert is_stale(f"drill-{gone}")
    # A worker of pytest-xdist is not called pytest; whoever started it is.
    assert not is_stale(f"ref-{os.getppid() if 'PYTEST_XDIST_WORKER' in os.environ else os.getpid()}")
    assert not is_stale(f"prod-{gone}")
    assert not is_stale("dev")
