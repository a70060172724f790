"""The program in the user data: a server's first minutes, before it has any program of ours."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from userdata.boot import files as boot
from userdata.templates import render

PROGRAM = b"print('boot')\n"


class Server:
    """A server without boto3, whose apt-get cannot fetch the package lists before so many seconds have passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, lists_after: float) -> None:
        self.library, self.lists_after = directory / "lib", lists_after
        self.now, self.fetched = 0.0, False
        self.became: list[str] = []
        self.identity = directory / "server.json"
        self.identity.write_text(json.dumps({"stack": "dev", "server": "server-1", "bucket": "b", "region": "r"}))
        self._monkeypatch = monkeypatch
        monkeypatch.setitem(sys.modules, "boto3", None)
        monkeypatch.setattr(subprocess, "run", self.apt_get)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(os, "execv", lambda _, words: self.became.extend(words))
        monkeypatch.setenv("PYTHONPATH", "")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def apt_get(self, words: list[str], *, check: bool = False) -> SimpleNamespace:
        if "update" in words:
            self.fetched = self.now >= self.lists_after
        code = 0 if self.fetched else 100
        if check and code:
            raise subprocess.CalledProcessError(code, words)
        if "python3-boto3" in words:
            self._monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=lambda *_: self))
        return SimpleNamespace(returncode=code)

    def put_parameter(self, **_: Any) -> None: ...

    def get_object(self, **words: str) -> dict[str, Any]:
        path = f"{self.library}/host/__main__.py"
        manifest = {"files": {path: {"sha256": hashlib.sha256(PROGRAM).hexdigest()}}}
        found = json.dumps(manifest).encode() if words["Key"].endswith("manifest.json") else PROGRAM
        return {"Body": io.BytesIO(found)}

    def start(self) -> None:
        text = render(boot.HERE, "start.py.j2", library=str(self.library), identity=str(self.identity))
        exec(compile(text, "start.py", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("lists_after", [0.0, 240.0])
def test_it_waits_for_the_package_lists_and_gets_the_host_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lists_after: float
) -> None:
    server = Server(monkeypatch, tmp_path, lists_after)
    server.start()
    assert server.now == lists_after
    assert (server.library / "host/__main__.py").read_bytes() == PROGRAM
    assert server.became[-2:] == ["host", "boot"]


def test_without_package_lists_it_ends_and_its_unit_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = Server(monkeypatch, tmp_path, 1e9)
    with pytest.raises(subprocess.CalledProcessError):
        server.start()
    assert server.now == 300
    assert server.became == []
