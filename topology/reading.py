"""From the keys of a stack's file to its topology, or to one message with every fault that they have.

A fault of shape (topology/settings.py) does not hide those of meaning (topology/build.py): what is faulty is left out,
the rest is checked, and of what that finds only what cannot come from the gap is told.
"""

from __future__ import annotations

import copy
import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic import ValidationError

from topology.build import build_topology
from topology.model import Topology
from topology.names import PROJECT
from topology.problems import ConfigurationError, Problem
from topology.settings import Settings, close_keys, decode, dotted, shape_problems
from topology.stackfile import DEFAULT_REGION, in_namespace

# eu-central-1, us-gov-west-1: what botocore's pattern of its partitions allows, without their list.
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")

# Keys of the aws: namespace that the program hands to its provider. One that it makes itself does not look at others.
AWS_KEYS = ("region", "profile")

# What a problem, by its key without numbers, was found by besides that key.
_FOUND_BY = {
    "servers": ("servers",),
    "servers.name": ("networkCidr",),
    "servers.zone": ("zones", "aws:region"),
    "servers.address": ("zones", "networkCidr"),
    "edge": ("servers", "preset"),
    "preferredPrimary": ("servers", "preset"),
    "zones": ("aws:region",),
    "tls.certificateParameter": ("tls.mode",),
    "tls.keyParameter": ("tls.mode",),
    "backup.objectLockDays": ("backup.keepDays",),
}

# For what is faulty in `application`, all of whose keys are needed: each passes its check.
_STAND_INS = {"artifact": "s3://a/b.tar.gz", "sha256": "0" * 64, "start": "serve", "port": 8080, "health": "/"}


@dataclass(frozen=True)
class Configuration:
    """A stack's configuration without a fault. `topology` has the zones that need nobody to be asked."""

    settings: Settings
    region: str
    topology: Topology


def read_configuration(config: Mapping[str, object], stack: str) -> Configuration:
    """Read the keys of a stack, with their namespaces (`tripod:preset`, `aws:region`), as YAML or the engine has them.

    Raises ConfigurationError with every fault, as far as one can be told while others are there.
    """
    problems = [*_namespaces(config), *region_problems(config)]
    raw = in_namespace(config, PROJECT)
    rest = _Rest.of(raw)
    region = str(config.get("aws:region"))
    if any(problem.key == "aws:region" for problem in problems):
        rest.unsure.add("aws:region")
        region = DEFAULT_REGION
    problems += rest.problems
    try:
        topology = build_topology(rest.settings, stack=stack, region=region)
    except ConfigurationError as error:
        problems += rest.certain(error.problems)
    if problems:
        raise ConfigurationError(dict.fromkeys(problems), stack)
    return Configuration(rest.settings, region, topology)


def region_problems(config: Mapping[str, object]) -> Iterator[Problem]:
    """What is wrong with `aws:region`."""
    region = config.get("aws:region")
    if region in (None, ""):
        yield Problem("aws:region", "no region is named", "Run: pulumi config set aws:region us-east-1")
    elif not (isinstance(region, str) and _REGION.fullmatch(region)):
        mend = "Write one region's name, such as eu-central-1"
        yield Problem("aws:region", f"{region!r} is not the name of a region", mend)


def _namespaces(config: Mapping[str, object]) -> Iterator[Problem]:
    """Keys that look like Tripod's and that nobody would read."""
    for key in config:
        namespace, _, name = key.partition(":")
        if namespace == "aws" and name not in AWS_KEYS:
            close = difflib.get_close_matches(name, AWS_KEYS, n=1)
            guess = f"Did you mean 'aws:{close[0]}'? " if close else "Remove it. "
            only = " and ".join(f"aws:{one}" for one in AWS_KEYS)
            yield Problem(key, "this key is not read", f"{guess}Tripod reads {only}; tags go to {PROJECT}:tags")
        like = namespace.lower().startswith(PROJECT) or difflib.get_close_matches(namespace.lower(), [PROJECT], 1, 0.8)
        if like and namespace != PROJECT:
            yield Problem(key, "this key is not read", f"Write it as {PROJECT}:{name}")


@dataclass
class _Rest:
    """What is left of a configuration without its faults of shape. `unsure` are the keys that were left out."""

    settings: Settings
    problems: list[Problem]
    unsure: set[str] = field(default_factory=set)
    kept: dict[str, list[int]] = field(default_factory=dict)
    """List -> which of its entries are left, by their numbers in the file."""

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> _Rest:
        try:
            return cls(Settings.model_validate(dict(raw)), [])
        except ValidationError as error:
            rest = cls(Settings(), shape_problems(error))
            faulty: ValidationError | None = error
        left = {key: decode(copy.deepcopy(value)) for key, value in raw.items()}
        while faulty:
            rest._leave_out(left, faulty)
            faulty = None
            try:
                rest.settings = Settings.model_validate(left)
            except ValidationError as error:
                faulty = error
        if "servers" in rest.kept and not rest.kept["servers"]:
            # The preset's stand in for them now, and nobody knows what types the real ones have.
            rest.unsure |= {"servers", "instanceType"}
        return rest

    def _leave_out(self, left: dict[str, Any], error: ValidationError) -> None:
        gone: dict[str, set[int]] = {}
        for one in error.errors():
            if one["type"] == "extra_forbidden":
                # Any of them may be meant, unless it is there as well.
                *place, _ = location = one["loc"]
                there = functools.reduce(lambda value, part: value[part], place, cast("Any", left))
                self.unsure |= {dotted((*place, key)) for key in close_keys(location) if key not in there}
        for location in (one["loc"] for one in error.errors()):
            match location:
                case ("servers", int(index), *_):
                    gone.setdefault("servers", set()).add(index)
                case ("alerts", "subscriptions", int(index), *_):
                    gone.setdefault("alerts.subscriptions", set()).add(index)
                case ("application", str(name)) if name in _STAND_INS and "application" in left:
                    left["application"][name] = _STAND_INS[name]
                    self.unsure.add(dotted(location))
                case (str(section), str(name), *_) if isinstance(left.get(section), dict):
                    left[section].pop(name, None)
                    self.unsure.add(f"{section}.{name}")
                case (top, *_):
                    left.pop(str(top), None)
                    self.unsure.add(str(top))
        for name, indices in gone.items():
            entries = left["servers"] if name == "servers" else left["alerts"]["subscriptions"]
            numbers = self.kept.get(name, list(range(len(entries))))
            self.unsure |= {f"{name}[{numbers[index]}]" for index in indices}
            self.kept[name] = [number for index, number in enumerate(numbers) if index not in indices]
            entries[:] = [entry for index, entry in enumerate(entries) if index not in indices]

    def certain(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Those of `problems` that are there whatever was left out, with their keys as the file has them."""
        for problem in problems:
            found = replace(problem, key=self._numbered(problem.key))
            plain = re.sub(r"\[\d+\]", "", found.key)
            by = [base for base in _FOUND_BY.get(plain, ()) for one in self.unsure if _in(base, one) or _in(one, base)]
            if not by and not any(_in(found.key, one) for one in self.unsure):
                yield found

    def _numbered(self, key: str) -> str:
        entry = re.match(r"(.+?)\[(\d+)\](.*)", key)
        numbers = self.kept.get(entry[1], []) if entry else []
        return f"{entry[1]}[{numbers[int(entry[2])]}]{entry[3]}" if entry and int(entry[2]) < len(numbers) else key


def _in(key: str, part: str) -> bool:
    return key == part or key.startswith((f"{part}.", f"{part}["))
