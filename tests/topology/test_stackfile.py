"""Reading stack files without the engine: defaults, own keys, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from topology.problems import ConfigurationError
from topology.stackfile import read_stack

PROJECT = """
name: tripod
config:
  aws:region: {value: eu-north-1}
  tripod:preset: {type: string, default: reference}
  tripod:verify: {type: boolean, default: true}
"""


def test_a_stack_is_the_projects_defaults_and_its_own_keys(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text("config:\n  tripod:preset: active-active\n  other:key: 1\n")
    stack = read_stack(tmp_path, "qa")
    assert stack.settings == {"preset": "active-active", "verify": True}
    assert stack.region == "eu-north-1"


def test_a_key_without_a_namespace_is_the_projects(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT.replace("tripod:verify", "verify"))
    (tmp_path / "Pulumi.qa.yaml").write_text("config:\n  preset: active-active\n")
    assert read_stack(tmp_path, "qa").settings == {"preset": "active-active", "verify": True}


def test_encrypted_values_are_refused_all_at_once_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text(
        "config:\n  tripod:domain: {secure: v1:abc}\n  tripod:tags:\n    Team: {secure: v1:abc}\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        read_stack(tmp_path, "qa")
    assert [problem.key for problem in raised.value.problems] == ["tripod:domain", "tripod:tags"]
    assert "  - tripod:domain: " in str(raised.value)
    assert "v1:abc" not in str(raised.value)


def test_a_missing_project_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"- \(file\): cannot read .*Pulumi\.yaml \(No such file"):
        read_stack(tmp_path, "qa")


def test_a_stacks_region_wins(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text("config:\n  aws:region: eu-west-3\n")
    assert read_stack(tmp_path, "qa").region == "eu-west-3"


def test_a_missing_stack_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text("config: {}\n")
    with pytest.raises(ConfigurationError, match=r"Pulumi\.prod\.yaml.*\n?.*qa"):
        read_stack(tmp_path, "prod")


@pytest.mark.parametrize("content", ["config: [\n", "", "config: text\n", "- a\n"])
def test_a_broken_file_is_one_clear_message(tmp_path: Path, content: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"Pulumi\.qa\.yaml"):
        read_stack(tmp_path, "qa")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\xff\xfe\x00c", "not text in UTF-8"),
        (b"config: {tripod:domain: 2026-13-45}\n", "a value that YAML cannot read"),
    ],
    ids=["not UTF-8", "no date"],
)
def test_values_that_nobody_can_use_are_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        read_stack(tmp_path, "qa")


@pytest.mark.parametrize(
    "content, said",
    [
        ("config:\n  tripod:preset: reference\n  tripod:preset: active-active\n", "line 3 has the key 'tripod:preset'"),
        ("config: {tripod:tags: {Team: a, Team: b}}\n", "line 1 has the key 'Team'"),
        ("config:\n  tripod:servers:\n    - {name: a-1, roles: [app], name: a-2}\n", "line 3 has the key 'name'"),
        ("config: {}\nconfig: {}\n", "line 2 has the key 'config'"),
    ],
)
def test_a_key_that_is_there_twice_is_told_and_not_chosen(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=rf"Pulumi\.qa\.yaml, {said} for the second time\. Keep one of them"):
        read_stack(tmp_path, "qa")


def test_a_key_with_its_namespace_and_without_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.qa.yaml").write_text("config: {preset: reference, tripod:preset: active-active}\n")
    with pytest.raises(
        ConfigurationError, match=r"tripod:preset: Pulumi\.qa\.yaml has it with its namespace and without"
    ):
        read_stack(tmp_path, "qa")


def test_anchors_and_merges_are_no_second_key(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    merged = "config: {tripod:a: &a {b: 1}, tripod:c: {<<: *a, b: 2}, tripod:d: *a}\n"
    (tmp_path / "Pulumi.qa.yaml").write_text(merged)
    settings = read_stack(tmp_path, "qa").settings
    assert (settings["a"], settings["c"], settings["d"]) == ({"b": 1}, {"b": 2}, {"b": 1})


def test_a_project_of_another_name_is_refused_because_its_keys_would_be_nobodys(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT.replace("name: tripod", "name: website"))
    (tmp_path / "Pulumi.qa.yaml").write_text("config: {website:preset: active-active}\n")
    with pytest.raises(ConfigurationError, match=r"\(project\): Pulumi.yaml names the project 'website'\. Write 'name"):
        read_stack(tmp_path, "qa")
