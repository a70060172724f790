"""The import rule: __main__ -> components -> userdata -> topology; components, rehearsal and operations apart."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from topology.presets import PRESETS

ROOT = Path(__file__).parent.parent
PACKAGES = ("topology", "userdata", "components", "rehearsal", "operations")
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))

# What the distribution of a server brings beside Python itself (userdata installs these; urllib3 comes with botocore).
ON_SERVERS = {"boto3", "botocore", "urllib3", "pymysql"}
ON_APPLICATION_SERVERS = {"app", "flask", "werkzeug", "pymysql", "gunicorn", "jinja2", "markupsafe"}


def check_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the contracts of pyproject.toml."""
    command = "from importlinter.cli import lint_imports_command as check; check()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False
    )


def modules(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file of the packages, parsed."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of absolute imports, late ones included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_imports_go_one_way():
    result = check_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "file,line",
    [
        ("topology/wrong.py", "import userdata"),
        ("topology/wrong.py", "import boto3"),
        ("userdata/wrong.py", "import pymysql"),
        ("userdata/wrong.py", "import pulumi"),
        ("components/wrong.py", "import operations"),
        ("rehearsal/wrong.py", "import components"),
        ("operations/wrong.py", "import userdata"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, line):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / file).write_text(f"{line}\n", encoding="utf-8")
    result = check_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "wrong" in result.stdout


def test_programs_on_servers_need_only_what_the_distribution_brings():
    for path, tree in modules("userdata/host"):
        foreign = imported(tree) - sys.stdlib_module_names - ON_SERVERS
        assert not foreign, f"{path} imports {foreign}; on servers there is only {ON_SERVERS}"


def test_the_sample_application_stands_alone():
    for path, tree in modules("app"):
        foreign = imported(tree) - sys.stdlib_module_names - ON_APPLICATION_SERVERS
        assert not foreign, f"{path} imports {foreign}"


def test_the_program_is_short_and_only_connects():
    text = (ROOT / "__main__.py").read_text(encoding="utf-8")
    foreign = imported(ast.parse(text)) - sys.stdlib_module_names
    assert foreign <= {"pulumi", "pulumi_aws", "components", "topology"}
    assert len(text.splitlines()) <= 80


def test_nothing_asks_for_a_presets_or_a_stacks_name():
    names = {*PRESETS, *STACKS}
    for path, tree in modules(*PACKAGES, "app"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare | ast.MatchValue):
                constants = {child.value for child in ast.walk(node) if isinstance(child, ast.Constant)}
                asked = constants & names
                assert not asked, f"{path}:{node.lineno} compares with {asked}: put the difference into the topology"


def test_waiting_is_polling():
    """A bare sleep hopes; a loop with a deadline knows."""
    for path, tree in modules(*PACKAGES, "app"):
        loops = [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.For)]
        polled = {id(child) for loop in loops for child in ast.walk(loop)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep"):
                assert id(node) in polled, f"{path}:{node.lineno} sleeps outside of a loop"
