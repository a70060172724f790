"""Configuration of the application, read from the environment (/etc/tripod/app.env)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigurationError(Exception):
    """The environment lacks a variable or holds one that makes no sense; names all of them."""


@dataclass(frozen=True)
class Address:
    """A TCP address; `str()` gives `host:port`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port`; ValueError when it is not one."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"expected host:port, got {text!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Endpoint:
    """One way to the database: an address, an account and how its server proves itself.

    The password stays in its file and is read at each connection, so that a rotated
    password needs no restart and a dump of the settings holds no secret.
    """

    address: Address
    database: str
    user: str
    password_file: Path
    ca_file: Path


@dataclass(frozen=True)
class Settings:
    """Everything the application needs to know; sizes are per gunicorn worker."""

    server: str
    stack: str
    listen: Address
    writer: Endpoint
    reader: Endpoint
    threads: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the TRIPOD_ variables; ConfigurationError lists every fault at once."""
        problems: list[str] = []

        def text(name: str, default: str | None = None) -> str:
            value = environment.get(name, default)
            if not value:
                problems.append(f"{name} is not set")
                return ""
            return value

        def address(name: str) -> Address:
            value = text(name)
            try:
                return Address.parse(value)
            except ValueError as error:
                if value:
                    problems.append(f"{name}: {error}")
                return Address("", 0)

        def endpoint(side: str) -> Endpoint:
            return Endpoint(
                address=address(f"TRIPOD_DB_{side}"),
                database=text("TRIPOD_DB_NAME", "app"),
                user=text(f"TRIPOD_DB_{side}_USER"),
                password_file=Path(text(f"TRIPOD_DB_{side}_PASSWORD_FILE")),
                ca_file=Path(text("TRIPOD_DB_CA_FILE")),
            )

        threads = text("TRIPOD_APP_THREADS", "32")
        if not threads.isdigit() or not 8 <= int(threads) <= 256:
            problems.append(f"TRIPOD_APP_THREADS: expected a number from 8 to 256, got {threads!r}")
            threads = "32"
        settings = cls(
            server=text("TRIPOD_SERVER"),
            stack=text("TRIPOD_STACK"),
            listen=address("TRIPOD_LISTEN"),
            writer=endpoint("WRITER"),
            reader=endpoint("READER"),
            threads=int(threads),
        )
        if problems:
            raise ConfigurationError("; ".join(dict.fromkeys(problems)))
        return settings
