"""Evaluates the unmodified program on mocks and writes down every registration with its options."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from pulumi.runtime import mocks, rpc

from tests.program import plain_mocks
from tests.program.plain_mocks import ROOT, Mocks

with warnings.catch_warnings():
    # The package warns of every deprecated name that it still offers while it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_aws.s3

    # The package is loaded at the first use of a name.
    pulumi_aws.s3.Bucket  # noqa: B018

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
UNKNOWN = rpc.UNKNOWN


@dataclass(frozen=True)
class Registered:
    """One registration. `inputs` are plain; unknown ones are UNKNOWN, secret ones are listed in `secrets`."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str
    provider: str
    inputs: Mapping[str, Any]
    secrets: frozenset[str]
    dependencies: frozenset[str]
    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]

    @property
    def short_type(self) -> str:
        return self.type.rsplit(":", 1)[1]


@dataclass
class Evaluation:
    """All registrations of one run, in no certain order, the stack's outputs, and what AWS was asked."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, *types: str) -> list[Registered]:
        """Registrations of the given short types, such as Instance."""
        return [resource for resource in self.resources if resource.short_type in types]

    def named(self, name: str) -> Registered:
        """The one registration with this name; fails when there is none or more."""
        found = [resource for resource in self.resources if resource.name == name]
        assert len(found) == 1, f"{len(found)} resources are called {name}"
        return found[0]

    def needs(self, resource: Registered) -> set[str]:
        """URNs of everything that must be there before `resource`, over any number of steps."""
        known = {r.urn: r for r in self.resources}
        seen: set[str] = set()
        todo = [resource.urn]
        while todo:
            one = known.get(todo.pop())
            new = (one.dependencies if one else frozenset()) - seen
            seen |= new
            todo += new
        return seen


class _Monitor(mocks.MockMonitor):
    """Writes down what plain mocks never see: the options of a registration."""

    def __init__(self, mocked: Mocks, evaluation: Evaluation) -> None:
        super().__init__(mocked)
        self.evaluation = evaluation

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (name of the RPC)
        if request.type != "pulumi:pulumi:Stack":
            inputs, secrets = _plain(json_format.MessageToDict(request.object))
            self.evaluation.resources.append(
                Registered(
                    urn=self.make_urn(request.parent, request.type, request.name),
                    type=request.type,
                    name=request.name,
                    custom=request.custom,
                    parent=request.parent,
                    provider=request.provider.rsplit("::", 1)[0],
                    inputs=inputs,
                    secrets=secrets,
                    dependencies=frozenset(request.dependencies),
                    protect=request.protect,
                    retain_on_delete=request.retainOnDelete,
                    delete_before_replace=request.deleteBeforeReplace,
                    ignore_changes=tuple(request.ignoreChanges),
                )
            )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  (name of the RPC)
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.evaluation.outputs, _ = _plain(json_format.MessageToDict(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def _plain(inputs: dict[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    secrets: set[str] = set()

    def unwrap(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
                secrets.add(key)
                return unwrap(value["value"], key)
            return {name: unwrap(one, key) for name, one in value.items()}
        if isinstance(value, list):
            return [unwrap(one, key) for one in value]
        return value

    return {key: unwrap(value, key) for key, value in inputs.items()}, frozenset(secrets)


def evaluate(stack: str = "dev", **options: Any) -> Evaluation:
    """Run the program afresh as `stack` and write down what it registers; `options` are those of plain_mocks.run.

    Raises what the program raises; registrations until then are in the exception's `evaluation`.
    """
    evaluation = Evaluation()

    def monitor_of(mocked: Mocks) -> mocks.MockMonitor:
        evaluation.asked = mocked.asked
        return _Monitor(mocked, evaluation)

    try:
        plain_mocks.run(monitor_of, stack, **options)
    except Exception as error:
        error.evaluation = evaluation  # type: ignore[attr-defined]
        raise
    return evaluation


def leaves(value: Any) -> Iterator[Any]:
    """Every value inside `value` that is neither a list nor an object."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value
