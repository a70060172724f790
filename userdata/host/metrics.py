"""Write what only this server knows as metrics for the node exporter: bundle, database, floating address, certificates.

A measurement that fails is left out, and said once in the journal; the alert on what is missing is in the rules.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import state
from .__main__ import client
from .floating_address_facts import FACTS as ADDRESS_FACTS
from .floating_address_status import floating_address_status
from .identity import PATH, Identity
from .log_shipper import IN_HAND, STALLED
from .status import HOST_FACTS, ROLE_CHECK, Get, get
from .system import System

FACTS = "/etc/tripod/monitoring.json"
FILE = "tripod.prom"
LOGS = "/run/tripod-logs"
REBOOT = "/run/reboot-required"

# Seconds. As often as Prometheus asks.
INTERVAL = 10.0
# The manifest in the bucket: one request in five minutes and server.
WANTED_EVERY = 300.0


@dataclass(frozen=True)
class Sample:
    """One sample of a gauge."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(self.labels.items()))
        return f"{self.name}{{{labels}}} {self.value!r}" if labels else f"{self.name} {self.value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(samples: list[Sample]) -> str:
    """Prometheus' text format: each name's type once, then its samples."""
    lines = []
    for name in dict.fromkeys(sample.name for sample in samples):
        lines += [f"# TYPE {name} gauge", *(str(sample) for sample in samples if sample.name == name)]
    return "\n".join(lines) + "\n"


def bundle_samples(system: System, wanted: str | None) -> Iterator[Sample]:
    """The digest that runs, the result of the last apply, and whether the bucket has the same (`wanted`)."""
    last = state.recall(system)
    if last["digest"]:
        yield Sample("tripod_bundle_info", 1.0, {"digest": last["digest"]})
    if last["applied_at"]:
        yield Sample("tripod_last_apply_timestamp_seconds", datetime.fromisoformat(last["applied_at"]).timestamp())
    if last["digest"] or last["error"]:
        yield Sample("tripod_last_apply_success", float(not last["error"]))
    if wanted:
        yield Sample("tripod_bundle_current", float(wanted == last["digest"]))


def database_samples(host: Mapping[str, Any], configured: int, get: Get) -> Iterator[Sample]:
    """What the role check says: it answers, this server is online, writer, reader, and how the group is."""
    role = next((role for role in ("database", "read_replica") if role in host["roles"]), None)
    if role is None:
        return
    labels = {"role": role}
    base = f"http://{host['address']}:{ROLE_CHECK}"
    code, body = get(f"{base}/state")
    yield Sample("tripod_database_answers", float(code == 200), labels)
    for question in ("writer", "reader"):
        yield Sample(f"tripod_database_{question}", float(get(f"{base}/{question}")[0] == 200), labels)
    if code != 200:
        return
    found = json.loads(body)
    if found.get("lag_seconds") is not None:
        yield Sample("tripod_replication_lag_seconds", float(found["lag_seconds"]), labels)
    if role != "database":
        return
    yield Sample("tripod_database_online", float(found["member_state"] == "ONLINE"), labels)
    yield Sample("tripod_database_primary", float(found["primary"] == host["server"]), labels)
    yield Sample("tripod_group_online_members", float(list(found["members"].values()).count("ONLINE")))
    yield Sample("tripod_group_configured_members", float(configured))
    yield Sample("tripod_group_majority", float(host["majority"]))


def address_samples(system: System) -> Iterator[Sample]:
    """VRRP's state and where the floating address is; nothing on a server without one."""
    found = floating_address_status(system.path(str(ADDRESS_FACTS)), system.root)
    if found is None:
        return
    yield Sample("tripod_vrrp_master", float(found["vrrp"] == "MASTER"))
    if found["here"] is not None:
        yield Sample("tripod_floating_address_here", float(found["here"]))


def certificate_samples(system: System, certificates: Mapping[str, str]) -> Iterator[Sample]:
    """When each certificate ends. Raises OSError or ValueError for one that cannot be read."""
    for name, path in sorted(certificates.items()):
        result = system.run(["openssl", "x509", "-noout", "-enddate", "-in", str(system.path(path))], timeout=10)
        _, found, end = result.last_line.partition("notAfter=")
        if not result.ok or not found:
            raise ValueError(f"{path}: {result.last_line}")
        labels = {"certificate": name}
        yield Sample("tripod_certificate_not_after_timestamp_seconds", float(ssl.cert_time_to_seconds(end)), labels)


def logs_samples(system: System) -> Iterator[Sample]:
    """Whether the logs are shipped: the service runs, it has started its shipper, and that one can deliver."""
    running = system.run(["systemctl", "is-active", "--quiet", "tripod-logs.service"], timeout=10).ok
    runtime = system.path(LOGS)
    shipped = running and (runtime / IN_HAND).exists() and not (runtime / STALLED).exists()
    yield Sample("tripod_logs_shipped", float(shipped))


def reboot_samples(system: System) -> Iterator[Sample]:
    """Since when an update waits for a reboot; nothing while none does.

    The file is made by update-notifier-common on Ubuntu, and by unattended-upgrades on Debian (their hooks in
    /etc/kernel/postinst.d).
    """
    flag = system.path(REBOOT)
    if flag.exists():
        yield Sample("tripod_reboot_required_timestamp_seconds", flag.stat().st_mtime)


class Wanted:
    """The digest in the bucket, asked for every WANTED_EVERY seconds; None while it is not known."""

    def __init__(self, s3: Any, identity: Identity, clock: Callable[[], float] = time.monotonic) -> None:
        self._s3, self._identity, self._clock = s3, identity, clock
        self._at = float("-inf")
        self._digest: str | None = None

    def __call__(self) -> str | None:
        """Raises what S3 raises, once in WANTED_EVERY seconds; the digest is unknown until the next question."""
        if self._clock() - self._at >= WANTED_EVERY:
            self._at, self._digest = self._clock(), None
            answer = self._s3.get_object(Bucket=self._identity.bucket, Key=self._identity.manifest_key)
            self._digest = str(json.loads(answer["Body"].read())["digest"])
        return self._digest


class Metrics:
    """Collects all samples. `collect` never raises for one bad source: it leaves it out and says why, once."""

    def __init__(self, system: System, wanted: Callable[[], str | None], get: Get = get) -> None:
        self._system, self._wanted, self._get = system, wanted, get
        self._said: dict[str, str] = {}

    def collect(self) -> list[Sample]:
        """Every sample that can be had now."""
        facts = json.loads(self._system.path(FACTS).read_text())
        host = json.loads(self._system.path(HOST_FACTS).read_text())
        digest: list[str | None] = [None]

        def ask() -> Iterator[Sample]:
            digest[0] = self._wanted()
            return iter(())

        samples = [Sample("tripod_host_facts_timestamp_seconds", datetime.now(UTC).timestamp())]
        samples += self._try("bucket", ask)
        samples += self._try("bundle", lambda: bundle_samples(self._system, digest[0]))
        samples += self._try("database", lambda: database_samples(host, facts["configured_members"], self._get))
        samples += self._try("logs", lambda: logs_samples(self._system))
        samples += self._try("reboot", lambda: reboot_samples(self._system))
        samples += self._try("floating address", lambda: address_samples(self._system))
        samples += self._try("certificates", lambda: certificate_samples(self._system, facts["certificates"]))
        return samples

    def write(self) -> None:
        """Collect, and replace the file by one rename: the exporter never reads half of it."""
        facts = json.loads(self._system.path(FACTS).read_text())
        directory = self._system.path(facts["textfiles"])
        new = directory / f"{FILE}.new"
        new.write_text(exposition(self.collect()))
        new.chmod(0o644)
        new.replace(directory / FILE)

    def _try(self, source: str, measure: Callable[[], Iterator[Sample]]) -> list[Sample]:
        try:
            found = list(measure())
        except (OSError, ValueError, KeyError, TypeError, ClientError, BotoCoreError) as error:
            if self._said.get(source) != str(error):
                self._said[source] = str(error)
                print(f"{source}: {error}", file=sys.stderr)
            return []
        self._said.pop(source, None)
        return found


def main() -> int:
    """Write for ever."""
    system = System()
    identity = Identity.load(system.path(PATH))
    metrics = Metrics(system, Wanted(client("s3", identity), identity))
    while True:
        metrics.write()
        time.sleep(INTERVAL)


if __name__ == "__main__":
    sys.exit(main())
