"""What a cloud changes in moto is taken back when it is closed: the next test gets moto as it comes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import moto
import pytest

from rehearsal.moto_changes import Changes
from tests.rehearsal.control_plane import emulated

SERVICES = ("cloudwatch", "core", "ec2", "elbv2", "iam", "route53", "s3", "sns", "ssm")


class Parent:
    def inherited(self) -> str:
        return "as it comes"


class Child(Parent):
    def own(self) -> str:
        return "as it comes"

    @staticmethod
    def static() -> str:
        return "as it comes"


def moto_now() -> dict[tuple[str, str], Any]:
    """Every attribute of every class and module of the services that a stack uses."""
    found = {}
    for service in SERVICES:
        package = importlib.import_module(f"moto.{service}")
        names = [package.__name__, *(one.name for one in pkgutil.walk_packages(package.__path__, f"moto.{service}."))]
        for module in map(importlib.import_module, names):
            found.update({(module.__name__, name): value for name, value in vars(module).items()})
            for owner in vars(module).values():
                if inspect.isclass(owner) and owner.__module__.startswith(moto.__name__):
                    found.update({(owner.__qualname__, name): value for name, value in vars(owner).items()})
    return found


def test_a_changed_attribute_is_what_it_was_after_undo() -> None:
    changes, before = Changes(), (dict(vars(Child)), dict(vars(Parent)))
    for name in ("own", "inherited"):
        changes.attribute(Child, name, lambda self: "changed")
    changes.attribute(Child, "static", staticmethod(lambda: "changed"))
    assert (Child().own(), Child().inherited(), Child.static()) == ("changed",) * 3
    assert Parent().inherited() == "as it comes"
    changes.undo()
    assert (Child().own(), Child().inherited(), Child.static()) == ("as it comes",) * 3
    assert (dict(vars(Child)), dict(vars(Parent))) == before


def test_the_last_change_is_taken_back_first() -> None:
    first, second = Changes(), Changes()
    first.attribute(Child, "own", lambda self: "first")
    second.attribute(Child, "own", lambda self: "second")
    second.undo()
    assert Child().own() == "first"
    first.undo()
    assert Child().own() == "as it comes"


@pytest.mark.parametrize("before", [{}, {"iam": {"a": 1}}])
def test_an_entry_is_what_it_was_after_undo(before: dict[str, Any]) -> None:
    changes, config = Changes(), dict(before)
    changes.entry(config, "iam", {"b": 2})
    assert config == {"iam": {"b": 2}}
    changes.undo()
    assert config == before


def test_a_closed_cloud_leaves_moto_as_it_comes() -> None:
    moto_now()  # what is loaded only when it is looked at is there afterwards
    with emulated():
        pass
    before = moto_now()
    with emulated():
        changed = {key for key, value in moto_now().items() if before.get(key) is not value}
    assert {("Topic", "publish"), ("ELBv2Backend", "describe_target_health")} <= changed
    assert len(changed) > 10
    assert {key for key, value in moto_now().items() if before.get(key) is not value} == set()
