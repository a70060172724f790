"""Pulumi.yaml and Pulumi.<stack>.yaml read as data, for those who need a stack's settings without the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from topology.names import PROJECT
from topology.problems import ConfigurationError, Problem

DEFAULT_REGION = "us-east-1"


class DuplicateKeyError(yaml.YAMLError):
    """An object has a key twice. `line` counts from 1 and is that of the second."""

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"the key '{key}' for the second time")
        self.line = line


# libyaml's is ten times as fast; PyYAML may come without it.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """As Pulumi's: a key that is there twice is a fault, where PyYAML lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise DuplicateKeyError(key.value, key.start_mark.line + 1)
                seen.add((key.tag, key.value))
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


@dataclass(frozen=True)
class StackFile:
    """A stack's configuration as the engine hands it to the program: defaults of Pulumi.yaml, then the stack's own.

    `config` has every key with its namespace (`tripod:preset`, `aws:region`) and values as YAML gives them.
    """

    stack: str
    project: str
    config: dict[str, object]

    @property
    def settings(self) -> dict[str, object]:
        """The keys of the `tripod:` namespace, without it."""
        return in_namespace(self.config, PROJECT)

    @property
    def region(self) -> str:
        """The AWS region; DEFAULT_REGION where a program of another kind names none (Tripod's must)."""
        return str(self.config.get("aws:region") or DEFAULT_REGION)


def project_defaults(root: Path) -> dict[str, object]:
    """Defaults that Pulumi.yaml declares for the `tripod:` keys: the engine applies them, mocks do not."""
    return StackFile("", PROJECT, _declared(_read(root / "Pulumi.yaml"), PROJECT)).settings


def read_stack(root: Path, stack: str) -> StackFile:
    """Read Pulumi.<stack>.yaml, with the project's defaults filled in.

    Raises ConfigurationError when a file is missing, is not what Pulumi would accept, or holds values that only the
    engine can decrypt.
    """
    program = _read(root / "Pulumi.yaml")
    project = str(program.get("name", PROJECT))
    if project != PROJECT:
        raise ConfigurationError([other_project(project)], stack)
    path = root / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        stacks = ", ".join(stack_names(root)) or "none"
        found = f"there is no file {path.name} in {root}"
        raise ConfigurationError([Problem("(stack)", found, f"Stacks that have one: {stacks}")], stack)
    own: dict[str, object] = {}
    for key, value in _object(_read(path), path, stack).items():
        if (full := _namespaced(project, key)) in own:
            found = f"{path.name} has it with its namespace and without"
            raise ConfigurationError([Problem(full, found, "Keep one of them")], stack)
        own[full] = value
    encrypted = [key for key, value in own.items() if _is_encrypted(value)]
    if encrypted:
        found = f"the value in {path.name} is encrypted, and only the Pulumi engine can open it"
        mend = "Name an SSM parameter instead, or take it out for this command"
        raise ConfigurationError([Problem(key, found, mend) for key in encrypted], stack)
    return StackFile(stack, project, _declared(program, project) | own)


def stack_names(root: Path) -> list[str]:
    """The stacks that have a file in `root`."""
    return sorted(one.name.split(".")[1] for one in root.glob("Pulumi.*.yaml") if one.is_file())


def in_namespace(config: Mapping[str, object], namespace: str) -> dict[str, object]:
    """The keys of one namespace, without it."""
    prefix = f"{namespace}:"
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def other_project(name: str) -> Problem:
    """The fault of a project of another name: its configuration keys would be in a namespace that nobody reads."""
    mend = f"Write 'name: {PROJECT}' there: keys are called {PROJECT}:preset and so on. A site of its own is a stack"
    return Problem("(project)", f"Pulumi.yaml names the project '{name}'", mend)


def _declared(program: dict[str, Any], project: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, declared in _object(program, Path("Pulumi.yaml"), None).items():
        if not isinstance(declared, dict):
            values[_namespaced(project, key)] = declared
        elif "default" in declared or "value" in declared:
            values[_namespaced(project, key)] = declared.get("default", declared.get("value"))
    return values


def _object(content: dict[str, Any], path: Path, stack: str | None) -> dict[str, object]:
    config = content.get("config") or {}
    if not isinstance(config, dict):
        raise ConfigurationError([Problem("(file)", f"'config' of {path.name} is not an object", "Indent it")], stack)
    return {str(key): value for key, value in config.items()}


def _namespaced(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _is_encrypted(value: object) -> bool:
    """Whether there is an encrypted value at any depth: Pulumi writes it as an object with the one key `secure`."""
    if isinstance(value, dict):
        return set(value) == {"secure"} or any(_is_encrypted(one) for one in value.values())
    return isinstance(value, list) and any(_is_encrypted(one) for one in value)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a safe one
    except OSError as error:
        found = f"cannot read {path} ({error.strerror or type(error).__name__})"
        raise ConfigurationError([Problem("(file)", found, "Name the directory of the Pulumi program")]) from None
    except UnicodeDecodeError:
        found = f"{path.name} is not text in UTF-8"
        raise ConfigurationError([Problem("(file)", found, "Save it as UTF-8, without a byte order mark")]) from None
    except DuplicateKeyError as error:
        found = f"{path.name}, line {error.line} has {error}"
        raise ConfigurationError([Problem("(file)", found, "Keep one of them")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        found = f"{path.name}{where} is not valid YAML"
        raise ConfigurationError([Problem("(file)", found, "Mend its indentation and quotes")]) from None
    except ValueError as error:  # a date or number that is none, such as 2026-13-45
        found = f"{path.name} has a value that YAML cannot read ({error})"
        raise ConfigurationError([Problem("(file)", found, "Write it in quotes")]) from None
    if not isinstance(content, dict):
        found = f"{path.name} is {'empty' if content is None else 'not an object'}"
        raise ConfigurationError([Problem("(file)", found, "Write at least 'config: {}'")])
    return content
