"""Rendering: a forgotten value is an error, and compiled templates are kept only where that is safe."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from userdata import templates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "one.j2").write_text("{{ name }}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _fresh() -> None:
    templates._environment.cache_clear()
    templates._compiled.cache_clear()


def test_a_forgotten_value_is_an_error(folder: Path) -> None:
    assert templates.render(folder, "one.j2", name="x") == "x\n"
    with pytest.raises(UndefinedError, match="name"):
        templates.render(folder, "one.j2")


def test_a_compiled_template_is_not_used_for_another_text(folder: Path) -> None:
    assert templates.render(folder, "one.j2", name="x") == "x\n"
    (folder / "templates" / "one.j2").write_text("not {{ name }}\n")
    templates._environment.cache_clear()
    assert templates.render(folder, "one.j2", name="x") == "not x\n"


def test_without_a_place_for_compiled_templates_rendering_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "not there"))
    assert templates._compiled() is None
    assert templates.render(folder, "one.j2", name="x") == "x\n"


def test_a_directory_of_somebody_else_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert templates._compiled() is None
