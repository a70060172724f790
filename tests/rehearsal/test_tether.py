"""The end of a process that a stack must not outlive."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

from rehearsal.daemon import ROOT
from rehearsal.shell import tool_environment
from rehearsal.tether import wait_for_end

RUN = """
import signal, pathlib, pytest

@pytest.fixture
def hosts():
    yield
    pathlib.Path("removed").touch()

def test_long(hosts):
    pathlib.Path("begun").touch()
    signal.pause()
"""


def test_the_end_of_a_process_is_noticed():
    with subprocess.Popen(["sleep", "60"]) as process:
        waiting = threading.Thread(target=wait_for_end, args=(process.pid,))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        process.kill()
        waiting.join(30)
        assert not waiting.is_alive()
    wait_for_end(process.pid)  # it was reaped: it has no pid any more


def test_a_test_run_that_is_told_to_end_removes_what_it_made(tmp_path):
    (tmp_path / "test_long.py").write_text(RUN)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    with subprocess.Popen(
        [*command, "-c", "/dev/null"], cwd=tmp_path, env={**tool_environment(), "PYTHONPATH": str(ROOT)}
    ) as run:
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "begun").exists():
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 2, "pytest's exit code for an interrupted run"
        finally:
            run.kill()
    assert (tmp_path / "removed").exists()
