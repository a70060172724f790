"""What Pulumi's engine does with a registered resource: create, update, replace, keep, and delete what is gone."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rehearsal.paths import invocation
from rehearsal.resources import Aws, Kind, Outcome, kind_of
from rehearsal.shell import RehearsalError
from rehearsal.state import Entry, State


class Step(StrEnum):
    """What happened to a resource."""

    SAME = "same"
    CREATE = "created"
    UPDATE = "updated"
    REPLACE = "replaced"
    DELETE = "deleted"
    RETAIN = "retained"


@dataclass(frozen=True)
class Registration:
    """A resource as the program declares it. `inputs` has camelCase keys and no secret wrappers."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    secret_inputs: frozenset[str] = frozenset()
    protect: bool = False
    retain: bool = False
    ignore_changes: frozenset[str] = frozenset()
    replace_on_changes: frozenset[str] = frozenset()
    delete_before_replace: bool = False
    default_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """Progress: a resource is about to change (`done` false), or has (`done` true)."""

    step: Step
    type: str
    name: str
    done: bool


class ResourceError(RehearsalError):
    """A resource could not be made what the program says. The message names it."""

    def __init__(self, doing: str, kind: str, name: str, cause: Exception) -> None:
        self.type, self.name, self.cause = kind, name, cause
        super().__init__(f"{doing} {kind} '{name}' failed: {cause}")


def top_level(paths: frozenset[str]) -> frozenset[str]:
    """The top-level properties of property paths: `tags.Name` and `tags["Name"]` are `tags`."""
    return frozenset(path.replace("[", ".").split(".")[0] for path in paths)


class Engine:
    """The resources of one run of the program against the state. Registrations may come from several threads."""

    def __init__(self, aws: Aws, state: State, on_event: Callable[[Event], None]) -> None:
        self._aws = aws
        self._state = state
        self._before = dict(state.entries)
        self._on_event = on_event
        self._kinds: dict[str, Kind] = {}
        self._seen: set[str] = set()
        self._replaced: list[Entry] = []
        self._lock = threading.Lock()
        self.counts: Counter[Step] = Counter()

    def register(self, registration: Registration) -> Entry:
        """Make one resource what the program says; return its entry of the state. Raises ResourceError."""
        with self._lock:
            if registration.urn in self._seen:
                problem = ValueError("the program declares two resources of this type and name")
                raise ResourceError("Registering", registration.type, registration.name, problem)
            self._seen.add(registration.urn)
            kind = self._kind(registration.type)
        inputs = dict(registration.inputs)
        if kind.taggable:
            inputs["tagsAll"] = {**registration.default_tags, **(inputs.get("tags") or {})}
        old = self._before.get(registration.urn)
        if old is None:
            return self._create(kind, registration, inputs, Step.CREATE)
        for key in top_level(registration.ignore_changes):
            self._keep(key, old.inputs, inputs)
        changed = frozenset(key for key in {*old.inputs, *inputs} if old.inputs.get(key) != inputs.get(key))
        if not changed:
            self._report(Step.SAME, registration, done=True)
            if (old.protect, old.retain) == (registration.protect, registration.retain):
                return old
            return self._remember(registration, old.id, inputs, old.outputs, frozenset(old.secrets))
        if kind.must_replace(old.inputs, changed) or changed & top_level(registration.replace_on_changes):
            return self._replace(kind, registration, old, inputs)
        return self._update(kind, registration, old, inputs)

    @staticmethod
    def _keep(key: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)

    def _kind(self, token: str) -> Kind:
        if token not in self._kinds:
            self._kinds[token] = kind_of(token)(self._aws)
        return self._kinds[token]

    def _create(self, kind: Kind, registration: Registration, inputs: dict[str, Any], step: Step) -> Entry:
        self._report(step, registration, done=False)
        outcome = self._attempt("Creating", registration, lambda: kind.create(registration.name, inputs))
        entry = self._remember(
            registration,
            outcome.id,
            inputs,
            outcome.outputs,
            frozenset(outcome.secrets) | registration.secret_inputs,
        )
        self._report(step, registration, done=True)
        return entry

    def _update(self, kind: Kind, registration: Registration, old: Entry, inputs: dict[str, Any]) -> Entry:
        self._report(Step.UPDATE, registration, done=False)
        outputs = self._attempt("Updating", registration, lambda: kind.update(old.id, old.inputs, inputs))
        entry = self._remember(
            registration,
            old.id,
            inputs,
            {**old.outputs, **outputs},
            frozenset(old.secrets) | registration.secret_inputs,
        )
        self._report(Step.UPDATE, registration, done=True)
        return entry

    def _replace(self, kind: Kind, registration: Registration, old: Entry, inputs: dict[str, Any]) -> Entry:
        if old.protect and registration.protect:
            problem = RuntimeError("it is protected, and this change would replace it")
            raise ResourceError("Replacing", registration.type, registration.name, problem)
        if registration.delete_before_replace:
            self._attempt("Deleting", registration, lambda: self._delete(kind, old, retain=registration.retain))
            return self._create(kind, registration, inputs, Step.REPLACE)
        entry = self._create(kind, registration, inputs, Step.REPLACE)
        with self._lock:
            old.retain = registration.retain
            self._replaced.append(old)
        return entry

    def _attempt(self, doing: str, registration: Registration, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            raise ResourceError(doing, registration.type, registration.name, error) from error

    def _remember(
        self,
        registration: Registration,
        resource_id: str,
        inputs: dict[str, Any],
        outputs: dict[str, Any],
        secrets: frozenset[str],
    ) -> Entry:
        entry = Entry(
            urn=registration.urn,
            type=registration.type,
            name=registration.name,
            id=resource_id,
            inputs=inputs,
            outputs=outputs,
            secrets=sorted(secrets),
            protect=registration.protect,
            retain=registration.retain,
        )
        with self._lock:
            self._state.put(entry)
        return entry

    def _report(self, step: Step, registration: Registration, *, done: bool) -> None:
        if done:
            with self._lock:
                self.counts[step] += 1
        self._on_event(Event(step, registration.type, registration.name, done))

    def _delete(self, kind: Kind, entry: Entry, *, retain: bool) -> None:
        if not retain:
            kind.delete(entry.id, entry.inputs, entry.outputs)

    def finish(self) -> None:
        """Delete what was replaced and what the program no longer declares, the newest first.

        A protected resource that is gone from the program is an error, as in Pulumi; a retained one is forgotten.
        """
        gone = [entry for urn, entry in self._state.entries.items() if urn not in self._seen]
        protected = [entry for entry in gone if entry.protect]
        if protected:
            names = " ".join(entry.name for entry in protected)
            problem = RuntimeError(
                "it is protected, and the program no longer declares it. If it may go: "
                f"{invocation()} unprotect --stack NAME {names}"
            )
            raise ResourceError("Deleting", protected[0].type, protected[0].name, problem)
        for entry in [*reversed(self._replaced), *reversed(gone)]:
            step = Step.RETAIN if entry.retain else Step.DELETE
            registration = Registration(urn=entry.urn, type=entry.type, name=entry.name, inputs=entry.inputs)
            self._report(step, registration, done=False)
            kind = self._kind(entry.type)
            self._attempt("Deleting", registration, lambda: self._delete(kind, entry, retain=entry.retain))  # noqa: B023
            if entry in gone:
                self._state.forget(entry.urn)
            self._report(step, registration, done=True)


def plain(value: Any) -> tuple[Any, bool]:
    """A property without Pulumi's wrappers, and whether a secret was in it.

    Assets become `{"path": ..., "digest": ...}` or `{"text": ...}`, so that they can be compared and kept as JSON;
    whole numbers lose the fraction that protobuf gives them.
    """
    import pulumi  # noqa: PLC0415  (half a second; `status` and `down` do without)
    from pulumi.runtime import rpc  # noqa: PLC0415

    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))[0], True
    if isinstance(value, pulumi.FileAsset):
        content = open(value.path, "rb").read()  # noqa: PTH123, SIM115
        return {"path": value.path, "digest": hashlib.sha256(content).hexdigest()}, False
    if isinstance(value, pulumi.StringAsset):
        return {"text": value.text}, False
    if isinstance(value, float) and value.is_integer():
        return int(value), False
    if isinstance(value, dict):
        items = {key: plain(item) for key, item in value.items() if key not in {"__defaults"}}
        return {key: item for key, (item, _) in items.items()}, any(secret for _, secret in items.values())
    if isinstance(value, list):
        found = [plain(item) for item in value]
        return [item for item, _ in found], any(secret for _, secret in found)
    return value, False


__all__ = ["Engine", "Event", "Outcome", "Registration", "ResourceError", "Step", "plain"]
