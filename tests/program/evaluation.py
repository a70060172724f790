"""Evaluates the unmodified program on mocks and writes down every registration with its options."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import runpy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.stack import run_in_stack

from topology.names import PROJECT
from topology.stackfile import read_stack

with warnings.catch_warnings():
    # The package warns of every deprecated name that it still offers while it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_aws.s3

    # The package is loaded at the first use of a name.
    pulumi_aws.s3.Bucket  # noqa: B018

ROOT = Path(__file__).resolve().parents[2]
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))

ACCOUNT = "123456789012"
IMAGE = "ami-0123456789abcdef0"
UNKNOWN = rpc.UNKNOWN

# What the mocked providers generate. A test looks for these where they must not be.
SECRET_MARK = "generated-secret"


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


class _Mocks(mocks.Mocks):
    def __init__(self, *, preview: bool, evaluation: Evaluation, answers: Mapping[str, Any]) -> None:
        self.preview, self.evaluation, self.answers = preview, evaluation, answers

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom or self.preview:
            return None, args.inputs
        return _created(args)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        name = args.token.rsplit(":", 1)[1]
        self.evaluation.asked[name] = args.args
        return self.answers[name], []


def _created(args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
    identity = f"{args.name}-id"
    state = {"arn": f"arn:aws:mock:::{args.name}", "name": args.name, **args.inputs}
    match args.typ.rsplit(":", 1)[1]:
        case "Eip":
            state |= {"publicIp": "203.0.113.10", "allocationId": identity}
        case "LoadBalancer":
            state |= {"dnsName": "edge.elb.example", "zoneId": "Z1", "arnSuffix": f"net/{args.name}"}
        case "TargetGroup":
            state |= {"arn": f"arn:aws:mock:::targetgroup/{args.name}"}
        case "RandomPassword":
            state |= {"result": f"{SECRET_MARK}-{args.name}"}
        case "PrivateKey":
            state |= {"privateKeyPem": f"{SECRET_MARK}-{args.name}", "publicKeyPem": f"public-{args.name}"}
        case "SelfSignedCert" | "LocallySignedCert":
            state |= {"certPem": f"certificate-{args.name}"}
        case "CertRequest":
            state |= {"certRequestPem": f"request-{args.name}"}
        case "Parameter":
            state |= {"version": 1}
    return identity, state


class _Monitor(mocks.MockMonitor):
    """Writes down what plain mocks never see: the options of a registration."""

    def __init__(self, recorded: _Mocks) -> None:
        super().__init__(recorded)
        self.recorded = recorded

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (name of the RPC)
        if request.type != "pulumi:pulumi:Stack":
            inputs, secrets = _plain(json_format.MessageToDict(request.object))
            self.recorded.evaluation.resources.append(
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
            self.recorded.evaluation.outputs, _ = _plain(json_format.MessageToDict(request.outputs))
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


def _answers(region: str, zones: list[str]) -> dict[str, Any]:
    return {
        "getCallerIdentity": {"accountId": ACCOUNT, "arn": "arn", "userId": "user", "id": ACCOUNT},
        "getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com", "id": "aws", "reverseDnsPrefix": "com"},
        "getAvailabilityZones": {"names": zones, "zoneIds": zones, "id": region, "groupNames": [region]},
        "getInstanceTypeOfferings": {"id": region, "locations": [], "instanceTypes": []},
        "getParameter": {"name": "image", "value": IMAGE, "insecureValue": IMAGE, "type": "String", "version": 1},
    }


def evaluate(
    stack: str = "dev",
    *,
    preview: bool = False,
    configured: Mapping[str, Any] | None = None,
    region: str | None = None,
    aws: Mapping[str, str] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Run the program afresh as `stack`, with `configured` over what its file says.

    `aws` are keys of the `aws:` namespace in place of the file's region, `answers` what lookups give.

    Raises what the program raises; registrations until then are in the exception's `evaluation`.
    """
    file = read_stack(ROOT, stack)
    region = region or file.region
    values = {**file.settings, **(configured or {})}
    config = {f"{PROJECT}:{key}": _text(value) for key, value in values.items()}
    config |= {f"aws:{key}": value for key, value in ({"region": region} if aws is None else aws).items()}
    zones = [f"{region}{letter}" for letter in "abcd"]
    evaluation = Evaluation()
    recorded = _Mocks(preview=preview, evaluation=evaluation, answers={**_answers(region, zones), **(answers or {})})

    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    async def run() -> None:
        # As set_mocks does, but without its ready-made stack: run_in_stack makes the one that collects the outputs.
        monitor: Any = _Monitor(recorded)
        settings.configure(
            mocks.MockSettings(  # type: ignore[no-untyped-call]
                monitor=monitor,
                monitor_features=set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures),
                engine=mocks.MockEngine(logging.getLogger(__name__)),
                project=PROJECT,
                stack=stack,
                dry_run=preview,
                organization=None,
                callbacks=None,
            )
        )
        pulumi.runtime.set_all_config(config)
        await run_in_stack(program)

    thresholds = gc.get_threshold()
    try:
        asyncio.run(run())
    except Exception as error:
        error.evaluation = evaluation  # type: ignore[attr-defined]
        raise
    finally:
        # The program sets its own for the process that it has for itself.
        gc.set_threshold(*thresholds)
    return evaluation


def _text(value: Any) -> str:
    # As the engine hands values over.
    return value if isinstance(value, str) else json.dumps(value)


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
