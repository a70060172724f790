"""A stack's configuration: the keys of Pulumi.<stack>.yaml, typed and with their defaults.

Shapes and types are checked here, by pydantic; what the keys mean together is checked in :mod:`topology.build`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from topology.names import Edge, Role
from topology.presets import PRESETS
from topology.problems import ConfigurationError, Problem


def decode(value: object) -> object:
    """Objects and arrays from their JSON text; anything else as it is."""
    # Pulumi hands objects and arrays over as JSON text.
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _blank_is_absent(value: object) -> object:
    # A string key of Pulumi.yaml cannot default to "nothing", only to "".
    return None if value == "" else value


def _empty_is_absent(value: object) -> object:
    value = decode(value)
    return None if value in ({}, "") else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=False)


_Text = Annotated[str | None, BeforeValidator(_blank_is_absent)]


class ServerSettings(_Section):
    """One entry of `servers`."""

    name: str = Field(description="Name of the server; a number at its end gives its address and zone.")
    roles: list[Role] = Field(description="What it does.", min_length=1)
    zone: _Text = None
    address: _Text = None
    instance_type: _Text = None
    root_volume_gib: int | None = None
    data_volume_gib: int | None = None


class TlsSettings(_Section):
    """The `tls` object."""

    mode: Literal["self-signed", "provided"] = "self-signed"
    certificate_parameter: _Text = None
    key_parameter: _Text = None


class BackupSettings(_Section):
    """The `backup` object. `hour` and `drill_day` are in UTC; `keep_days` is how long backups and binary logs are kept.

    `snapshots` is how many daily EBS snapshots of each data volume are kept, at most 1000 (Amazon Data Lifecycle
    Manager API, RetainRule). `object_lock_days` is for how long nobody can delete an object.
    """

    hour: int = Field(default=2, ge=0, le=23)
    keep_days: int = Field(default=35, ge=2, le=3650)
    drill_day: Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] = "Sun"
    snapshots: int = Field(default=7, ge=0, le=1000)
    object_lock_days: int = Field(default=0, ge=0, le=3650)


class ApplicationSettings(_Section):
    """The `application` object: all of the first five keys or none. `secrets` are SSM parameters by name."""

    artifact: str
    sha256: str
    start: str
    port: int
    health: str
    secrets: dict[str, str] = Field(default_factory=dict)


class SubscriptionSettings(_Section):
    """One entry of `alerts.subscriptions`."""

    protocol: Literal["email", "email-json", "https", "sms", "sqs", "lambda"]
    endpoint: str


LOG_DAYS = (*(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),)
"""Days for which CloudWatch Logs can keep events (CloudWatch Logs API, PutRetentionPolicy)."""


def _log_days(days: int) -> int:
    if days not in LOG_DAYS:
        *most, last = map(str, LOG_DAYS)
        raise PydanticCustomError("literal_error", "not possible", {"expected": f"{', '.join(most)} or {last}"})
    return days


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise PydanticCustomError("literal_error", "not possible", {"expected": ", ".join(PRESETS)})
    return name


class AlertSettings(_Section):
    """The `alerts` object."""

    subscriptions: list[SubscriptionSettings] = Field(default_factory=list)
    minimum_severity: Literal["warning", "critical"] = "warning"
    repeat_hours: int = Field(default=4, ge=1, le=168)


class Settings(_Section):
    """Every key of the `tripod:` namespace. Sizes are in GiB, times in minutes."""

    preset: Annotated[str, AfterValidator(_preset)] = "reference"
    servers: Annotated[list[ServerSettings], BeforeValidator(decode)] = Field(default_factory=list)
    edge: Annotated[Edge | None, BeforeValidator(_blank_is_absent)] = None
    zones: Annotated[list[str], BeforeValidator(decode)] = Field(default_factory=list)
    network_cidr: str = "10.20.0.0/16"
    instance_type: str = "t3.medium"
    image: _Text = None
    root_volume_gib: int = Field(default=16, ge=8, le=16384)
    data_volume_gib: int = Field(default=20, ge=8, le=16384)
    preferred_primary: _Text = None
    domain: _Text = None
    hosted_zone_id: _Text = None
    tls: Annotated[TlsSettings, BeforeValidator(decode)] = Field(default_factory=TlsSettings)
    application: Annotated[ApplicationSettings | None, BeforeValidator(_empty_is_absent)] = None
    backup: Annotated[BackupSettings, BeforeValidator(decode)] = Field(default_factory=BackupSettings)
    replica_lag_seconds: int = Field(default=30, ge=2, le=86400)
    alerts: Annotated[AlertSettings, BeforeValidator(decode)] = Field(default_factory=AlertSettings)
    log_retention_days: Annotated[int, AfterValidator(_log_days)] = 30
    deletion_protection: bool = True
    verify: bool = True
    verify_timeout_minutes: int = Field(default=15, ge=1, le=120)
    tags: Annotated[dict[str, str], BeforeValidator(decode)] = Field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Mapping[str, object], stack: str | None = None) -> Self:
        """Settings from the keys of one stack, without their `tripod:` prefix.

        Values may be native or, as the Pulumi engine gives them, text. Raises ConfigurationError naming every
        key that is unknown or of a wrong type.
        """
        try:
            return cls.model_validate(dict(raw))
        except ValidationError as error:
            raise ConfigurationError(shape_problems(error), stack) from None


def dotted(location: tuple[int | str, ...]) -> str:
    """A place as messages name it: `servers[0].roles[1]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _section(location: tuple[int | str, ...]) -> type[_Section]:
    match location:
        case ("servers", *_):
            return ServerSettings
        case ("tls", *_):
            return TlsSettings
        case ("backup", *_):
            return BackupSettings
        case ("alerts", "subscriptions", *_):
            return SubscriptionSettings
        case ("alerts", *_):
            return AlertSettings
        case ("application", *_):
            return ApplicationSettings
        case _:
            return Settings


def _keys(location: tuple[int | str, ...]) -> list[str]:
    section = _section(location[:-1]) if len(location) > 1 else Settings
    return [field.alias or name for name, field in section.model_fields.items()]


def close_keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys that may be meant by the unknown one at `location`: one that differs in case only, or all that are close."""
    given, keys = str(location[-1]), _keys(location)
    same = [key for key in keys if key.lower() == given.lower()]
    return same or difflib.get_close_matches(given, keys, n=len(keys))


def shape_problems(error: ValidationError) -> list[Problem]:
    """Every fault that pydantic found, in words."""
    listed: dict[str, str] = {}
    return [_problem(one, listed) for one in error.errors()]


def _unknown(location: tuple[int | str, ...], listed: dict[str, str]) -> Problem:
    """`listed` remembers which problem has the keys of a section: a list of them is long enough once."""
    key, found = dotted(location), "this key is not known"
    if close := close_keys(location):
        return Problem(key, found, f"Did you mean {' or '.join(repr(one) for one in close)}?")
    keys = ", ".join(_keys(location))
    if keys in listed:
        return Problem(key, found, f"Remove it; {listed[keys]} has the known ones")
    listed[keys] = key
    return Problem(key, found, f"Known keys here: {keys}")


def _problem(error: Any, listed: dict[str, str]) -> Problem:
    location: tuple[int | str, ...] = error["loc"]
    key, given = dotted(location), error.get("input")
    match error["type"]:
        case "extra_forbidden":
            return _unknown(location, listed)
        case "missing":
            return Problem(key, "this key is missing", "Add it")
        case _ if given is None:
            return Problem(key, "this key is empty", "Remove it, or fill it")
        case "enum" | "literal_error":
            expected = error["ctx"]["expected"]
            return Problem(key, f"{given!r} is not a possible value", f"Use one of: {expected}")
        case "int_type" | "int_parsing" | "int_from_float":
            return Problem(key, f"{given!r} is not a whole number", "Write a whole number without quotes or unit")
        case "bool_type" | "bool_parsing":
            return Problem(key, f"{given!r} is neither true nor false", "Write true or false")
        case "string_type":
            return Problem(
                key, f"{given!r} is not text", "Write it in quotes (`pulumi config set --path`: --type string)"
            )
        case "list_type":
            return Problem(key, f"{given!r} is not a list", "Write a list, one '- ' line an entry")
        case "model_type" | "dict_type" | "model_attributes_type":
            return Problem(key, f"{given!r} is not an object", "Write 'key: value' lines, indented under it")
        case "greater_than_equal" | "less_than_equal":
            bound = error["ctx"].get("ge", error["ctx"].get("le"))
            word = "at least" if "ge" in error["ctx"] else "at most"
            return Problem(key, f"{given!r} is out of range", f"Use {word} {bound}")
        case "too_short":
            return Problem(key, "the list is empty", "Give at least one entry")
        case other:
            return Problem(key, f"{given!r} cannot be used ({other})", f"{error['msg']}")
