"""Style that no linter checks: sizes of files, names, docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("topology", "userdata", "components", "rehearsal", "operations", "app", "tools", "tests")
SOURCES = [ROOT / "__main__.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]

# 50 to 300 lines are the guide; past this a file holds two things.
LONGEST = 400

# Names that say nothing about what a thing is.
EMPTY_WORDS = re.compile(r"manager|helper|utils?$|misc|common", re.IGNORECASE)


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_a_file_holds_one_thing():
    assert not [f"{where(path)}: {lines(path)} lines" for path in SOURCES if lines(path) > LONGEST]


def test_names_say_what_a_thing_is():
    empty = [where(path) for path in SOURCES if EMPTY_WORDS.search(path.stem)]
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        empty += [f"{where(path)}: {name}" for name in classes if EMPTY_WORDS.search(name)]
    assert not empty


def test_a_module_says_what_it_is_for():
    public = [path for path in SOURCES if "tests" not in path.parts]
    assert not [where(path) for path in public if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_scripts_are_executable_and_portable():
    for name in (".ci/run", "tools/bootstrap"):
        assert (ROOT / name).stat().st_mode & 0o111, name
    subprocess.run(["sh", "-n", ROOT / "tools/bootstrap"], check=True)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


def test_pins_name_no_place_to_fetch_from():
    for path in sorted(ROOT.glob("requirements*.txt")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|--index-url|--find-links|-c /", text), where(path)
        pins = re.findall(r"^[A-Za-z0-9_.-]+==.*$", text, re.MULTILINE)
        assert pins, where(path)
        assert text.count("--hash=sha256:") >= len(pins)
        assert all(pin.endswith("\\") for pin in pins), f"{where(path)}: a pin without a hash"
