"""The unmodified program on the SDK's plain mocks, with no engine and no account."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, settings
from pulumi.runtime.stack import run_in_stack

from topology.names import PROJECT
from topology.stackfile import read_stack

ROOT = Path(__file__).resolve().parents[2]

ACCOUNT = "123456789012"
IMAGE = "ami-0123456789abcdef0"

# What the mocked providers generate. A test looks for these where they must not be.
SECRET_MARK = "generated-secret"


class Mocks(mocks.Mocks):
    """What the providers answer; `asked` is what AWS was asked, by the name of the function."""

    def __init__(self, *, preview: bool, answers: Mapping[str, Any]) -> None:
        self.preview, self.answers = preview, answers
        self.asked: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom or self.preview:
            return None, args.inputs
        return _created(args)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        name = args.token.rsplit(":", 1)[1]
        self.asked[name] = args.args
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


def _answers(region: str, zones: list[str]) -> dict[str, Any]:
    return {
        "getCallerIdentity": {"accountId": ACCOUNT, "arn": "arn", "userId": "user", "id": ACCOUNT},
        "getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com", "id": "aws", "reverseDnsPrefix": "com"},
        "getAvailabilityZones": {"names": zones, "zoneIds": zones, "id": region, "groupNames": [region]},
        "getInstanceTypeOfferings": {"id": region, "locations": [], "instanceTypes": []},
        "getParameter": {"name": "image", "value": IMAGE, "insecureValue": IMAGE, "type": "String", "version": 1},
    }


def run(
    monitor_of: Callable[[Mocks], mocks.MockMonitor] = mocks.MockMonitor,
    stack: str = "dev",
    *,
    preview: bool = False,
    configured: Mapping[str, Any] | None = None,
    region: str | None = None,
    aws: Mapping[str, str] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> mocks.MockMonitor:
    """Run the program afresh as `stack`, with `configured` over what its file says; the monitor that it told.

    `aws` are keys of the `aws:` namespace in place of the file's region, `answers` what lookups give.
    Raises what the program raises.
    """
    file = read_stack(ROOT, stack)
    region = region or file.region
    values = {**file.settings, **(configured or {})}
    config = {f"{PROJECT}:{key}": _text(value) for key, value in values.items()}
    config |= {f"aws:{key}": value for key, value in ({"region": region} if aws is None else aws).items()}
    zones = [f"{region}{letter}" for letter in "abcd"]
    monitor: Any = monitor_of(Mocks(preview=preview, answers={**_answers(region, zones), **(answers or {})}))

    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    async def evaluated() -> None:
        # As set_mocks does, but without its ready-made stack: run_in_stack makes the one that collects the outputs.
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
        asyncio.run(evaluated())
    finally:
        # The program sets its own for the process that it has for itself.
        gc.set_threshold(*thresholds)
    return monitor  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    # As the engine hands values over.
    return value if isinstance(value, str) else json.dumps(value)
