"""What is shipped to a server must start there: with the distribution's packages and the contract's environment."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

import app
from app.settings import ConfigurationError
from tests.app.test_settings import ENVIRONMENT

FOLDER = Path(app.__file__).parent


def test_only_packages_of_the_distribution_are_imported():
    imported = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names == {"app", "flask", "pymysql", "werkzeug"}


def test_gunicorn_listens_where_the_environment_says(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", list(sys.path))
    configuration = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    assert configuration["bind"] == ["10.20.1.10:8080"]
    assert configuration["chdir"] == str(FOLDER.parent)
    assert configuration["wsgi_app"] == "app.wsgi:application"
    application = runpy.run_module("app.wsgi")["application"]
    assert application.config["SERVER"] == "server-2"


def test_a_faulty_environment_stops_the_start(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigurationError, match="TRIPOD_LISTEN is not set"):
        runpy.run_path(str(FOLDER / "gunicorn.conf.py"))


def test_the_schema_is_statements_that_a_bootstrap_program_can_split():
    text = (FOLDER / "schema.sql").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    statements = [statement.strip() for statement in body.split(";\n") if statement.strip()]
    assert [statement.split(" IF NOT EXISTS")[0] for statement in statements] == ["CREATE DATABASE", "CREATE TABLE"]
    assert body.count(";") == len(statements)
