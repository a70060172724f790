"""Files and units of an application server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from topology import names, ports
from topology.flows import app_port
from topology.model import Application, Server, Topology
from topology.names import Account, Role
from userdata import paths
from userdata.bundle import File, Part, Secret, Unit
from userdata.templates import render

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "app"

UNIT = "tripod-app.service"
ENVIRONMENT = "/etc/tripod/app.env"
OWN_SECRETS = f"{paths.SECRETS}/application/"
ARTIFACT_FACTS = "/etc/tripod/application.json"
START = "/usr/local/lib/tripod/start-application"

DATABASE = "app"
USER = "tripod-app"

# An artifact that cannot be fetched or has another digest is refused before the running application is touched.
_FETCH = (
    "env", f"PYTHONPATH={{root}}{paths.LIBRARY}", "python3", "-P", "-m", "host.application",
    f"{{root}}{ARTIFACT_FACTS}",
)  # fmt: skip

_TEXT = {".py", ".sql", ".css", ".svg", ".js", ".html", ".txt", ".json"}


def files(topology: Topology, server: Server) -> Part:
    """The application part; empty on servers without the role."""
    if not server.has(Role.APP):
        return Part()
    own = topology.application
    concerned = (ENVIRONMENT, f"{paths.APPLICATION}/", ARTIFACT_FACTS, START, *([OWN_SECRETS] if own else []))
    unit = render(HERE, "tripod-app.service.j2", user=USER, environment=ENVIRONMENT, own=own, start=START,
                  library=paths.LIBRARY, artifact_facts=ARTIFACT_FACTS, code=paths.APPLICATION)  # fmt: skip
    return Part(
        files=(
            File(f"{paths.SYSTEMD}/{UNIT}", unit),
            File(ENVIRONMENT, environment(topology, server)),
            *(_artifact(own) if own else code()),
        ),
        secrets=tuple(
            Secret(path, parameter, "0440", f"root:{USER}")
            for path, parameter in (
                *(
                    (_password_file(account), names.password_parameter(topology.stack, account))
                    for account in (Account.APP_WRITER, Account.APP_READER)
                ),
                *((f"{OWN_SECRETS}{name}", parameter) for name, parameter in _own_secrets(topology).items()),
            )
        ),
        units=(Unit(UNIT, concerned, check=_FETCH if own else ()),),
        packages=() if own else ("gunicorn", "python3-flask", "python3-pymysql"),
    )


def environment(topology: Topology, server: Server) -> str:
    """The content of app.env, in systemd's EnvironmentFile syntax; the same for the stack's own application."""
    values = {
        "TRIPOD_SERVER": server.name,
        "TRIPOD_STACK": topology.stack,
        "TRIPOD_LISTEN": f"{server.address}:{app_port(topology)}",
        "TRIPOD_DB_WRITER": f"127.0.0.1:{ports.DATABASE_WRITER}",
        "TRIPOD_DB_READER": f"127.0.0.1:{ports.DATABASE_READER}",
        "TRIPOD_DB_NAME": DATABASE,
        "TRIPOD_DB_WRITER_USER": Account.APP_WRITER.value,
        "TRIPOD_DB_READER_USER": Account.APP_READER.value,
        "TRIPOD_DB_WRITER_PASSWORD_FILE": _password_file(Account.APP_WRITER),
        "TRIPOD_DB_READER_PASSWORD_FILE": _password_file(Account.APP_READER),
        "TRIPOD_DB_CA_FILE": paths.CA_FILE,
    }
    values |= {f"{name}_FILE": f"{OWN_SECRETS}{name}" for name in _own_secrets(topology)}
    return "".join(f"{name}={value}\n" for name, value in values.items())


@cache
def code() -> tuple[File, ...]:
    """The sample application, the same on every server."""
    sources = sorted(p for p in SOURCE.rglob("*") if p.suffix in _TEXT and "__pycache__" not in p.parts)
    wanted = (source for source in sources if source.relative_to(SOURCE).parts[0] != "tests")
    return tuple(
        File(f"{paths.APPLICATION}/{source.relative_to(SOURCE).as_posix()}", source.read_text(), shared=True)
        for source in wanted
    )


def _artifact(own: Application) -> tuple[File, ...]:
    value = {"artifact": own.artifact, "sha256": own.sha256}
    start = render(HERE, "start-application.j2", own=own)
    return (File(ARTIFACT_FACTS, json.dumps(value, indent=2, sort_keys=True) + "\n"), File(START, start, "0755"))


def _own_secrets(topology: Topology) -> Mapping[str, str]:
    """In the order of their names."""
    return dict(sorted(topology.application.secrets.items())) if topology.application else {}


def _password_file(account: Account) -> str:
    return f"{paths.SECRETS}/{account.value}"
