"""What hosts say of themselves, asked from inside their own namespaces: a severed host still answers for itself."""

from __future__ import annotations

import csv
import http.client
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from rehearsal.network import Fabric
from topology import ports
from userdata.host.database_state import DatabaseState
from userdata.prometheus.alerts import WATCHDOG

TIMEOUT = 0.8
"""Seconds. All of it is answered from memory; what takes longer does not answer."""

Get = Callable[[str, str, int, str], str]
"""(server, address, port, path) -> body. Raises OSError where nobody answers, or not with 200."""


def fetch(fabric: Fabric) -> Get:
    """GET over plain HTTP from a host's namespace to an address of its own."""

    def get(server: str, address: str, port: int, path: str) -> str:
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
        connection.sock = fabric.connect(server, address, port, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{server}:{port} answers nonsense ({error!r})") from error
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise ConnectionError(f"{server}:{port} answers {answer.status}")
        return body

    return get


@dataclass(frozen=True)
class Target:
    """A server line of an HAProxy section, as this HAProxy sees it. `requests` counts answers since its start."""

    section: str
    server: str
    up: bool
    requests: int


@dataclass(frozen=True)
class Proxy:
    """One HAProxy. `requests` and `errors` (5xx) count since it started."""

    requests: int
    errors: int
    targets: tuple[Target, ...]

    def up(self, section: str) -> list[str]:
        """Names of the servers of a section that get traffic."""
        return [one.server for one in self.targets if one.section == section and one.up]


def haproxy(get: Get, server: str, address: str) -> Proxy:
    """Read the statistics (CSV; HAProxy management guide, 9.1). Raises OSError."""
    text = get(server, address, ports.HAPROXY_METRICS, "/stats;csv")
    rows = list(csv.DictReader(text.removeprefix("# ").splitlines()))
    requests = errors = 0
    targets: list[Target] = []
    for row in rows:
        if row["svname"] == "FRONTEND" and row["pxname"] == "https":
            requests, errors = int(row["req_tot"] or 0), int(row["hrsp_5xx"] or 0)
        elif row["svname"] not in {"FRONTEND", "BACKEND"}:
            answers = sum(int(row[f"hrsp_{kind}"] or 0) for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))
            # "UP 1/2" is on its way down and still gets traffic.
            targets.append(Target(row["pxname"], row["svname"], row["status"].startswith("UP"), answers))
    return Proxy(requests, errors, tuple(targets))


def database(get: Get, server: str, address: str) -> DatabaseState:
    """Ask the role check. Raises OSError, or ValueError when its answer is none."""
    return DatabaseState.from_json(json.loads(get(server, address, ports.ROLE_CHECK, "/state")))


def alerts(get: Get, server: str, address: str) -> list[dict[str, str]]:
    """Pending and firing alerts of one Prometheus (HTTP API, /api/v1/alerts). Raises OSError or ValueError.

    The watchdog is left out: it fires while all is well.
    """
    answer: dict[str, Any] = json.loads(get(server, address, ports.PROMETHEUS, "/api/v1/alerts"))
    found = [_alert(one) for one in answer["data"]["alerts"]]
    return [one for one in found if one["name"] != WATCHDOG]


def _alert(raw: dict[str, Any]) -> dict[str, str]:
    labels, notes = raw.get("labels") or {}, raw.get("annotations") or {}
    return {
        "name": str(labels.get("alertname") or "?"),
        "server": str(labels.get("server") or ""),
        "severity": str(labels.get("severity") or ""),
        "state": str(raw.get("state") or ""),
        "since": str(raw.get("activeAt") or ""),
        "text": str(notes.get("summary") or notes.get("description") or ""),
    }


def distinct(found: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The alerts of several Prometheus, each once: firing wins over pending."""
    merged: dict[tuple[str, str], dict[str, str]] = {}
    for one in sorted(found, key=lambda alert: alert["state"] == "firing"):
        merged[one["name"], one["server"]] = one
    return [merged[key] for key in sorted(merged)]
