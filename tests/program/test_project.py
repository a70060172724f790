"""Pulumi.yaml: typed, described and defaulted as topology/settings.py is, with nothing that Pulumi would ignore."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tests.program.evaluation import STACKS
from tests.program.plain_mocks import ROOT
from topology.build import SUBNET_BITS
from topology.checks import MOST_TAGS, SERVER_NAME, STACK_NAME
from topology.problems import ConfigurationError
from topology.settings import AlertSettings, BackupSettings, Settings
from topology.stackfile import project_defaults

PROJECT = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
FIELDS = {field.alias or name: field for name, field in Settings.model_fields.items()}

# Pulumi's JSON schema of a project, top level.
KNOWN = {
    "name", "runtime", "main", "description", "author", "website", "license", "config", "template", "backend",
    "options", "plugins", "stackConfigDir", "packages",
}  # fmt: skip


def test_no_key_that_pulumi_ignores() -> None:
    assert set(PROJECT) <= KNOWN
    assert PROJECT["name"] == "tripod"
    assert PROJECT["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}


def test_every_setting_is_declared_described_and_defaulted() -> None:
    assert set(PROJECT["config"]) == set(FIELDS)
    for key, declared in PROJECT["config"].items():
        assert set(declared) <= {"type", "description", "default", "items"}, key
        assert declared["type"] in {"string", "integer", "boolean", "array", "object"}
        assert len(declared["description"]) > 20, key
        assert "default" in declared, key
        assert ("items" in declared) == (declared["type"] == "array")


def test_defaults_of_both_agree() -> None:
    declared = Settings.parse(project_defaults(ROOT))
    assert declared == Settings()


def _bounds(section: type[BaseModel]) -> Iterator[str]:
    for field in section.model_fields.values():
        found = {name: getattr(one, name) for one in field.metadata for name in ("ge", "le") if hasattr(one, name)}
        if found:
            yield f"{found['ge']} to {found['le']}"


def test_bounds_are_described() -> None:
    described = {key: declared["description"] for key, declared in PROJECT["config"].items()}
    texts = "\n".join(described.values())
    # That of objectLockDays is another setting.
    wanted = {*_bounds(Settings), *_bounds(AlertSettings), *_bounds(BackupSettings)} - {"0 to 3650"}
    assert len(wanted) > 6
    assert {bounds for bounds in wanted if bounds not in texts} == set()
    assert all("8 to 16384" in described[key] for key in ("rootVolumeGib", "dataVolumeGib"))
    assert f"at most {2**SUBNET_BITS}" in described["zones"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    for shape, text in ((SERVER_NAME, described["servers"]), (STACK_NAME, readme)):
        (longest,) = (
            length for length in range(1, 64) if shape.match("a" * length) and not shape.match("a" * (length + 1))
        )
        assert f"1 to {longest} of a-z, 0-9 and -" in text
    assert MOST_TAGS == 6
    assert "at most six" in described["tags"]


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_types_of_both_agree(key: str) -> None:
    expected = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    assert expected[PROJECT["config"][key]["type"]] is _kind(FIELDS[key])


def test_the_template_asks_for_what_a_stack_needs() -> None:
    template = PROJECT["template"]
    assert set(template) <= {"displayName", "description", "quickstart", "config", "important", "metadata"}
    assert set(template["config"]) == {"aws:region", "tripod:preset"}
    assert template["config"]["tripod:preset"]["default"] == PROJECT["config"]["preset"]["default"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_stacks_file_holds_known_keys_only(stack: str) -> None:
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    assert set(content) == {"config"}
    own = {key.removeprefix("tripod:") for key in content["config"] if key.startswith("tripod:")}
    assert own <= set(FIELDS)
    assert content["config"]["aws:region"]


def test_the_shipped_stacks() -> None:
    assert STACKS == ["dev", "five", "prod", "replicas", "staging"]


def test_the_type_a_setting_refuses_is_the_one_declared() -> None:
    with pytest.raises(ConfigurationError):
        Settings.parse({"rootVolumeGib": "a lot"})


def _kind(field: FieldInfo) -> Any:
    kind = field.annotation
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    kind = typing.get_origin(kind) or kind
    assert isinstance(kind, type)
    for plain in (bool, int, str, list, dict):
        if issubclass(kind, plain):
            return plain
    return dict
