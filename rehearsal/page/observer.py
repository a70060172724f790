"""The stack as it is now: collected only while somebody looks, at most once a second."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rehearsal.page import sources
from rehearsal.page.sources import Get, Proxy
from rehearsal.page.timeline import Timeline
from rehearsal.report import Status
from topology.names import Role
from userdata.host.database_state import DatabaseState

FRESH = 1.0
"""Seconds for which a look is good enough for the next visitor."""
RECENT = 10.0
"""Seconds: a mean over more is no rate of now."""
STATUS_EVERY = 30.0
"""Seconds between two runs of `tripod status` on all hosts, each of which starts a Python there (0.4 s of CPU)."""
STATUS_AFTER_EVENT = 4.0
"""The same while something happens."""
EVENTFUL = 30.0
"""Seconds after an event for which something happens."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What one server said in one look; None where it said nothing."""

    proxy: Proxy | None = None
    database: DatabaseState | None = None
    alerts: list[dict[str, str]] | None = None


class Observer:
    """Answers with the document of `status --json`, and under `now` with what changes by the second.

    `status()` is that document and costs a second; `servers()` names each server with `state`, `address` and `roles`
    and is cheap, as are `elastic()` (public address -> private address) and `severed()` (servers with a cut cable).
    """

    def __init__(
        self,
        status: Callable[[], Status],
        servers: Callable[[], list[dict[str, Any]]],
        elastic: Callable[[], Mapping[str, str]],
        severed: Callable[[], set[str]],
        get: Get,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status, self._servers, self._elastic, self._severed = status, servers, elastic, severed
        self._get, self._clock = get, clock
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="page")
        self._slow: Future[Status] | None = None
        self._last_status: Status | None = None
        self._status_at = self._event_at = float("-inf")
        self._document: dict[str, Any] = {}
        self._looked_at = float("-inf")
        self._counters: dict[str, tuple[float, int]] = {}
        self.timeline = Timeline()

    def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def document(self) -> dict[str, Any]:
        """The stack now; at most FRESH seconds old."""
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= FRESH:
                self._document = self._look(now)
                self._looked_at = now
            return self._document

    def _look(self, now: float) -> dict[str, Any]:
        status = self._known_status(now)
        servers = self._servers()
        seen = dict(zip((one["name"] for one in servers), self._pool.map(self._ask, servers), strict=True))
        primary = _primary([found.database for found in seen.values() if found.database])
        said = {server["name"]: server for server in (status or {}).get("servers", [])}
        severed = self._severed()
        by_address = {one["address"]: one["name"] for one in servers}
        document = {
            **(status or {}),
            "at": time.time(),
            "primary": primary,
            "elastic": {public: by_address.get(private, private) for public, private in self._elastic().items()},
            "alerts": sources.distinct(alert for found in seen.values() for alert in found.alerts or []),
            "alerts_known": any(found.alerts is not None for found in seen.values()),
            "servers": [
                {
                    **said.get(one["name"], {"healthy": None, "problems": []}),
                    **one,
                    "now": self._now(one, seen, primary, one["name"] in severed, now),
                }
                for one in servers
            ],
        }
        if self.timeline.look(document, document["at"]):
            self._event_at = now
        return {**document, "events": list(self.timeline.events)}

    def _known_status(self, now: float) -> Status | None:
        """The last status; a new one is asked for in the background."""
        if self._slow is not None and self._slow.done():
            failure, finished, self._slow = self._slow.exception(), self._slow, None
            if failure is None:
                self._last_status = finished.result()
            else:
                _log.error("no status of the hosts: %s", failure)
        # Whatever is not healthy yet is worth a question, too.
        settled = self._last_status is not None and self._last_status["healthy"] and now - self._event_at > EVENTFUL
        if self._slow is None and now - self._status_at >= (STATUS_EVERY if settled else STATUS_AFTER_EVENT):
            self._status_at = now
            self._slow = self._pool.submit(self._status)
        return self._last_status

    def _ask(self, server: Mapping[str, Any]) -> Seen:
        if server["state"] != "running":
            return Seen()
        name, address, roles = server["name"], server["address"], set(server["roles"])
        proxy = database = alerts = None
        if roles & {Role.LOAD_BALANCER, Role.APP}:
            with contextlib.suppress(OSError):
                proxy = sources.haproxy(self._get, name, address)
        if roles & {Role.DATABASE, Role.READ_REPLICA}:
            with contextlib.suppress(OSError, ValueError):
                database = sources.database(self._get, name, address)
        if Role.MONITORING in roles:
            with contextlib.suppress(OSError, ValueError):
                alerts = sources.alerts(self._get, name, address)
        return Seen(proxy, database, alerts)

    def _now(
        self, server: Mapping[str, Any], seen: Mapping[str, Seen], primary: str | None, severed: bool, at: float
    ) -> dict[str, Any]:
        name, roles, mine = server["name"], server["roles"], seen[server["name"]]
        balancer = mine.proxy if Role.LOAD_BALANCER in roles else None
        return {
            "power": server["state"],
            "severed": severed,
            "balancer": balancer
            and {
                "requests_per_second": self._rate(f"{name} requests", balancer.requests, at),
                "errors_per_second": self._rate(f"{name} errors", balancer.errors, at),
                "apps_up": balancer.up("app"),
            },
            "app": self._app(name, seen, at) if Role.APP in roles else None,
            "writer": mine.proxy.up("database_writer") if mine.proxy else None,
            "readers": mine.proxy.up("database_reader") if mine.proxy else None,
            "database": mine.database and _database(mine.database, primary, seen),
            "monitoring": None if Role.MONITORING not in roles else {"answers": mine.alerts is not None},
        }

    def _app(self, name: str, seen: Mapping[str, Seen], at: float) -> dict[str, Any] | None:
        """An application server as the load balancers see it; None when none of them can be asked."""
        views = [
            (balancer, target)
            for balancer, found in seen.items()
            for target in (found.proxy.targets if found.proxy else ())
            if target.section == "app" and target.server == name
        ]
        if not views:
            return None
        rates = [self._rate(f"{balancer} to {name}", target.requests, at) for balancer, target in views]
        return {
            "up": any(target.up for _, target in views),
            "seen_up_by": [balancer for balancer, target in views if target.up],
            "requests_per_second": sum(rates),
        }

    def _rate(self, counter: str, value: int, at: float) -> float:
        """Growth per second since the look before; 0 after a restart and where that look was long ago."""
        before_at, before = self._counters.get(counter, (at, value))
        self._counters[counter] = (at, value)
        return max(0, value - before) / (at - before_at) if 0 < at - before_at <= RECENT else 0.0


def _primary(states: list[DatabaseState]) -> str | None:
    """Who takes writes, by its own word and with a majority behind it."""
    return next((state.server for state in states if state.writable and state.quorate), None)


def _database(state: DatabaseState, primary: str | None, seen: Mapping[str, Seen]) -> dict[str, Any]:
    first = seen[primary].database if primary is not None else None
    missing = first.executed - state.executed if first else None
    return {
        "role": "primary" if state.server == primary else "replica",
        "member_state": state.member_state,
        "online": state.online,
        "members": len(state.members),
        "writable": state.writable,
        "lag_seconds": state.lag,
        "behind": None
        if missing is None
        else sum(last - start + 1 for intervals in missing.intervals.values() for start, last in intervals),
    }
