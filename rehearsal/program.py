"""Runs the unmodified Pulumi program; each resource it registers becomes real in the emulated AWS."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime import settings as pulumi_settings
from pulumi.runtime import stack as pulumi_stack

from rehearsal import configuration, functions
from rehearsal.engine import Engine, Event, Registration, Step, plain
from rehearsal.resources import Aws, command
from rehearsal.shell import RehearsalError
from rehearsal.state import State


class ProgramError(RehearsalError):
    """The program could not be carried out. The message is for the person who ran it."""


@dataclass(frozen=True)
class Result:
    """What a run did: how many resources went through each step, and the stack's outputs."""

    counts: dict[Step, int]
    outputs: dict[str, Any]
    secret_outputs: frozenset[str]


class Monitor(pulumi_mocks.MockMonitor):
    """Pulumi's mock monitor with the options of a registration, which plain mocks never see."""

    def __init__(self, engine: Engine, aws: Aws, fail: Callable[[BaseException], None]) -> None:
        super().__init__(_Unused())
        self._engine = engine
        self._aws = aws
        self._fail = fail
        self._failed = threading.Event()
        self._default_tags: dict[str, dict[str, str]] = {}
        self.outputs: dict[str, Any] = {}
        self.secret_outputs: frozenset[str] = frozenset()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (name of the RPC)
        if request.type == "pulumi:pulumi:Stack":
            return super().RegisterResource(request)
        try:
            if self._failed.is_set():
                raise asyncio.CancelledError  # noqa: TRY301
            return self._register(request)
        except BaseException as error:
            # An exception here can leave the SDK waiting for ever, so the run is ended from outside.
            self._failed.set()
            self._fail(error)
            raise

    def _register(self, request: Any) -> Any:
        # The SDK makes resource references while it deserialises, which needs an event loop on this thread.
        pulumi_mocks._ensure_event_loop()  # noqa: SLF001
        urn = self.make_urn(request.parent, request.type, request.name)
        inputs, secret_inputs = _inputs(request.object)
        if not request.custom:
            identity, outputs, secrets = "", inputs, secret_inputs
        elif request.type.startswith("pulumi:providers:"):
            identity, outputs, secrets = self._provider(urn, request.type, inputs)
        else:
            entry = self._engine.register(
                Registration(
                    urn=urn,
                    type=request.type,
                    name=request.name,
                    inputs=inputs,
                    secret_inputs=secret_inputs,
                    protect=request.protect,
                    retain=request.retainOnDelete,
                    ignore_changes=frozenset(request.ignoreChanges),
                    replace_on_changes=frozenset(request.replaceOnChanges),
                    delete_before_replace=request.deleteBeforeReplace,
                    default_tags=self._default_tags.get(request.provider.rsplit("::", 1)[0], {}),
                )
            )
            identity, outputs = entry.id, {**entry.inputs, **entry.outputs}
            secrets = frozenset(entry.secrets)
        self.resources[urn] = self.ResourceRegistration(urn, identity, outputs)
        wrapped = {key: rpc.wrap_rpc_secret(value) if key in secrets else value for key, value in outputs.items()}
        answer = pulumi_mocks._sync_await(rpc.serialize_properties(wrapped, {}))  # noqa: SLF001
        return pulumi_mocks.resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=answer)

    def _provider(self, urn: str, token: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], frozenset[str]]:
        if token == "pulumi:providers:aws":
            # Nested inputs of a provider travel as JSON text.
            declared = inputs.get("defaultTags") or {}
            declared = json.loads(declared) if isinstance(declared, str) else declared
            self._default_tags[urn] = declared.get("tags") or {}
            region = inputs.get("region")
            if region and region != self._aws.region:
                raise ProgramError(f"a provider for {region}: the rehearsal has one region, {self._aws.region}")
        return urn.rsplit("::", 1)[1], inputs, frozenset()

    def Invoke(self, request: Any) -> Any:  # noqa: N802  (name of the RPC)
        if request.tok == "pulumi:pulumi:getResource":
            return super().Invoke(request)
        pulumi_mocks._ensure_event_loop()  # noqa: SLF001
        try:
            arguments, _ = plain(rpc.deserialize_properties(request.args))
            answer = functions.call(self._aws, request.tok, arguments)
        except Exception as error:
            raise ProgramError(f"{request.tok.rsplit(':', 1)[1]}: {error}") from error
        serialised = pulumi_mocks._sync_await(rpc.serialize_properties(answer, {}))  # noqa: SLF001
        return pulumi_mocks.resource_pb2.ResourceInvokeResponse(**{"failures": None, "return": serialised})

    def ReadResource(self, request: Any) -> NoReturn:  # noqa: N802  (name of the RPC)
        problem = ProgramError(
            f"reading an existing {request.type} ('{request.name}') is not possible in the rehearsal"
        )
        self._fail(problem)
        raise problem

    def RegisterResourceOutputs(self, request: Any) -> empty_pb2.Empty:  # noqa: N802  (name of the RPC)
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.outputs, self.secret_outputs = _inputs(request.outputs)
        return empty_pb2.Empty()


class _Unused(pulumi_mocks.Mocks):
    """The monitor above answers everything itself."""

    def call(self, args: Any) -> NoReturn:
        raise NotImplementedError(args.token)

    def new_resource(self, args: Any) -> NoReturn:
        raise NotImplementedError(args.typ)


def _inputs(properties: Any) -> tuple[dict[str, Any], frozenset[str]]:
    found = {key: plain(value) for key, value in rpc.deserialize_properties(properties).items()}
    return (
        {key: value for key, (value, _) in found.items()},
        frozenset(key for key, (_, secret) in found.items() if secret),
    )


def run(
    project: Path,
    stack: str,
    endpoint: str,
    state_file: Path,
    on_event: Callable[[Event], None],
    say: Callable[[str], None],
) -> Result:
    """Evaluate `project`/__main__.py for `stack` against the emulated AWS at `endpoint`.

    Must be the only run of this process: modules of the program are imported and stay. `on_event` is told about
    every resource, `say` about lines that the program or its commands print. Raises ProgramError or ResourceError.
    """
    file = configuration.load(project, stack)
    config = configuration.as_text(file)
    aws = Aws(endpoint, file.region, project, say)
    # For what the program itself asks of AWS, beside Pulumi.
    os.environ.update(aws.environment)
    state = State.load(state_file)
    engine = Engine(aws, state, on_event)
    outcome = asyncio.run(_evaluate(project, file.project, stack, config, engine, aws, say))
    engine.finish()
    state.finish(outcome.outputs, sorted(outcome.secret_outputs))
    return Result(dict(engine.counts), outcome.outputs, outcome.secret_outputs)


async def _evaluate(
    project: Path, name: str, stack: str, config: dict[str, str], engine: Engine, aws: Aws, say: Callable[[str], None]
) -> Monitor:
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def fail(error: BaseException) -> None:
        def settle() -> None:
            if not failure.done() and not isinstance(error, asyncio.CancelledError):
                failure.set_exception(error)

        loop.call_soon_threadsafe(settle)

    monitor = Monitor(engine, aws, fail)
    pulumi.runtime.set_all_config(config)
    # As set_mocks does, but without its ready-made stack: run_in_stack makes the one that collects the outputs.
    features = set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures)
    pulumi_settings.configure(
        pulumi_mocks.MockSettings(
            monitor=monitor,
            monitor_features=features,
            engine=pulumi_mocks.MockEngine(_logger(say)),
            project=name,
            stack=stack,
            dry_run=False,
            organization=None,
            callbacks=None,
        )
    )

    def program() -> None:
        sys.path.insert(0, str(project))
        runpy.run_path(str(project / "__main__.py"), run_name="__main__")

    task = asyncio.create_task(pulumi_stack.run_in_stack(program))
    await asyncio.wait({task, failure}, return_when=asyncio.FIRST_COMPLETED)
    if failure.done():
        command.end_all()
        task.cancel()
        await failure
    await task
    return monitor


def _logger(say: Callable[[str], None]) -> logging.Logger:
    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                say(record.getMessage())

    logger = logging.getLogger("rehearsal.program")
    logger.handlers = [Say()]
    logger.propagate = False
    return logger
