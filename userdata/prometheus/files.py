"""Files and units of monitoring: what each server shows, and what the monitoring servers collect."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from topology import names, ports
from topology.model import Server, Topology
from topology.names import Account, Role
from userdata import paths
from userdata.bundle import File, Part, Secret, Unit
from userdata.haproxy.files import CERTIFICATE
from userdata.mysql.files import TLS
from userdata.prometheus.alert import GROUP_WAIT_SECONDS
from userdata.prometheus.alerts import WATCHDOG, alerts
from userdata.templates import render

HERE = Path(__file__).parent

CONFIGURATION = "/etc/prometheus/prometheus.yml"
RULES = "/etc/prometheus/tripod.rules.yml"
ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
CONSOLES = "/etc/prometheus/consoles"
MONITORING_FACTS = "/etc/tripod/monitoring.json"
EXPORTER_OPTIONS = "/etc/tripod/mysqld-exporter.cnf"
EXPORTER_PASSWORD = f"{paths.SECRETS}/mysqld_exporter"

TEXTFILES = "/var/lib/prometheus/node-exporter"

NODE_EXPORTER = "prometheus-node-exporter"
MYSQLD_EXPORTER = "prometheus-mysqld-exporter"

# What two weeks of such a stack take, and never more than an eighth of the smallest root volume.
RETENTION_DAYS = 15
RETENTION_GB = 1


def files(topology: Topology, server: Server) -> Part:
    """Exporters, and Prometheus with Alertmanager where the server has the role `monitoring`."""
    parts = [_node_exporter(server), _host_facts(topology, server)]
    if server.holds_data:
        parts.append(_mysqld_exporter(topology, server))
    if server.has(Role.MONITORING):
        parts.append(_prometheus(topology, server))
    return Part(
        files=tuple(f for p in parts for f in p.files),
        secrets=tuple(s for p in parts for s in p.secrets),
        units=tuple(u for p in parts for u in p.units),
        packages=tuple(n for p in parts for n in p.packages),
    )


def _arguments(*arguments: str) -> str:
    return f'ARGS="{" ".join(arguments)}"\n'


def _node_exporter(server: Server) -> Part:
    # The textfile collector is where other programs of this server leave their metrics.
    options = _arguments(
        f"--web.listen-address={server.address}:{ports.NODE_EXPORTER}",
        "--collector.systemd.unit-include=(tripod-.*|mysql|haproxy|keepalived|prometheus.*)[.]service",
        f"--collector.textfile.directory={TEXTFILES}",
    )
    return Part(
        files=(File(f"/etc/default/{NODE_EXPORTER}", options),),
        units=(Unit(f"{NODE_EXPORTER}.service", files=(f"/etc/default/{NODE_EXPORTER}",)),),
        packages=(NODE_EXPORTER,),
    )


def _host_facts(topology: Topology, server: Server) -> Part:
    service = f"{paths.SYSTEMD}/tripod-metrics.service"
    facts = {
        "textfiles": TEXTFILES,
        "certificates": {
            "ca": paths.CA_FILE,
            **({"site": CERTIFICATE} if server.has(Role.LOAD_BALANCER) else {}),
            **({"server": TLS["certificate"]} if server.holds_data else {}),
        },
        "configured_members": len(topology.databases),
        "alertmanager": f"http://{server.address}:{ports.ALERTMANAGER}",
        "prometheus": f"http://{server.address}:{ports.PROMETHEUS}",
        "watchdog": WATCHDOG,
        "namespace": names.metrics_namespace(topology.stack),
        "heartbeat": names.HEARTBEAT_METRIC,
    }
    return Part(
        files=(
            File(MONITORING_FACTS, json.dumps(facts, indent=2, sort_keys=True) + "\n"),
            File(service, render(HERE, "tripod-metrics.service.j2", library=paths.LIBRARY, textfiles=TEXTFILES)),
        ),
        units=(Unit("tripod-metrics.service", files=(f"{paths.PROGRAMS}/", MONITORING_FACTS, paths.HOST_FACTS)),),
    )


def _mysqld_exporter(topology: Topology, server: Server) -> Part:
    options = _arguments(
        f"--web.listen-address={server.address}:{ports.MYSQLD_EXPORTER}",
        f"--config.my-cnf={EXPORTER_OPTIONS}",
        "--collect.perf_schema.replication_group_members",
        "--collect.perf_schema.replication_group_member_stats",
        "--collect.perf_schema.replication_applier_status_by_worker",
    )
    client = render(HERE, "mysqld-exporter.cnf.j2", server=server, port=ports.MYSQL, user=Account.MONITORING.value,
                    ca_file=paths.CA_FILE)  # fmt: skip
    drop_in = f"{paths.SYSTEMD}/{MYSQLD_EXPORTER}.service.d/tripod.conf"
    return Part(
        files=(
            File(f"/etc/default/{MYSQLD_EXPORTER}", options),
            File(EXPORTER_OPTIONS, client),
            File(drop_in, render(HERE, "mysqld-exporter.service.d.conf.j2", password=EXPORTER_PASSWORD)),
        ),
        secrets=(Secret(EXPORTER_PASSWORD, names.password_parameter(topology.stack, Account.MONITORING), "0400"),),
        units=(
            Unit(
                f"{MYSQLD_EXPORTER}.service",
                files=(f"/etc/default/{MYSQLD_EXPORTER}", EXPORTER_OPTIONS, EXPORTER_PASSWORD, paths.CA_FILE),
            ),
        ),
        packages=(MYSQLD_EXPORTER,),
    )


def _prometheus(topology: Topology, server: Server) -> Part:
    options = _arguments(
        f"--web.listen-address={server.address}:{ports.PROMETHEUS}",
        "--storage.tsdb.path=/var/lib/prometheus/metrics2",
        f"--storage.tsdb.retention.time={RETENTION_DAYS}d",
        f"--storage.tsdb.retention.size={RETENTION_GB}GB",
        # Pages that Prometheus renders itself, read anew at each request.
        f"--web.console.templates={CONSOLES}",
    )
    others = [other for other in topology.monitors if other.name != server.name]
    alertmanager = _arguments(
        f"--web.listen-address={server.address}:{ports.ALERTMANAGER}",
        "--storage.path=/var/lib/prometheus/alertmanager",
        f"--cluster.listen-address={server.address}:{ports.ALERTMANAGER_CLUSTER}",
        f"--cluster.advertise-address={server.address}:{ports.ALERTMANAGER_CLUSTER}",
        *(f"--cluster.peer={other.address}:{ports.ALERTMANAGER_CLUSTER}" for other in others),
    )
    return Part(
        files=(
            File("/etc/default/prometheus", options),
            File(CONFIGURATION, render(HERE, "prometheus.yml.j2", **_targets(topology, server))),
            File(f"{CONSOLES}/tripod.html", render(HERE, "tripod.html.j2", topology=topology, server=server)),
            File("/etc/default/prometheus-alertmanager", alertmanager),
            File(RULES, render(HERE, "rules.yml.j2", topology=topology, alerts=alerts(topology), watchdog=WATCHDOG)),
            File(ALERTMANAGER, _alertmanager(topology)),
            File(
                f"{paths.SYSTEMD}/prometheus-alertmanager.service.d/tripod.conf",
                render(HERE, "alertmanager.service.d.conf.j2"),
            ),
            File(f"{paths.SYSTEMD}/tripod-heartbeat.timer", render(HERE, "tripod-heartbeat.timer.j2")),
            File(
                f"{paths.SYSTEMD}/tripod-heartbeat.service",
                render(HERE, "tripod-heartbeat.service.j2", library=paths.LIBRARY),
            ),
        ),
        units=(
            Unit(
                "prometheus.service",
                files=("/etc/default/prometheus", CONFIGURATION, RULES),
                check=("promtool", "check", "config", "{root}" + CONFIGURATION),
                action="reload",
            ),
            Unit(
                "prometheus-alertmanager.service",
                files=("/etc/default/prometheus-alertmanager", ALERTMANAGER),
                check=("amtool", "check-config", "{root}" + ALERTMANAGER),
                action="reload",
            ),
            Unit("tripod-heartbeat.timer"),
        ),
        packages=("prometheus", "prometheus-alertmanager"),
    )


def _alertmanager(topology: Topology) -> str:
    severities = ("critical",) if topology.alerts.minimum_severity == "critical" else ("critical", "warning")
    return render(
        HERE,
        "alertmanager.yml.j2",
        topology=topology,
        topic=topology.alerts_topic_arn,
        severities=severities,
        group_wait=GROUP_WAIT_SECONDS,
    )


def _targets(topology: Topology, server: Server) -> dict[str, object]:
    def at(servers: Iterable[Server], port: int) -> list[tuple[str, str]]:
        return [(other.name, f"{other.address}:{port}") for other in servers]

    ways = [s for s in topology.servers if s.has(Role.LOAD_BALANCER) or s.has(Role.APP)]
    jobs = {
        "node": at(topology.servers, ports.NODE_EXPORTER),
        "haproxy": at(ways, ports.HAPROXY_METRICS),
        "mysql": at((s for s in topology.servers if s.holds_data), ports.MYSQLD_EXPORTER),
        "prometheus": at(topology.monitors, ports.PROMETHEUS),
        "alertmanager": at(topology.monitors, ports.ALERTMANAGER),
    }
    return {
        "topology": topology,
        "server": server,
        "jobs": jobs,
        "alertmanagers": jobs["alertmanager"],
        "load_balancers": [other.name for other in topology.load_balancers],
        "rules": Path(RULES).name,
    }
