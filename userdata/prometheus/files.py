"""Files and units of monitoring: what each server shows, and what the monitoring servers collect."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from topology import names, ports
from topology.model import Server, Topology
from topology.names import Account, Role
from userdata import paths
from userdata.bundle import File, Part, Secret, Unit
from userdata.templates import render

HERE = Path(__file__).parent

CONFIGURATION = "/etc/prometheus/prometheus.yml"
ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
CONSOLES = "/etc/prometheus/consoles"
EXPORTER_OPTIONS = "/etc/tripod/mysqld-exporter.cnf"
EXPORTER_PASSWORD = f"{paths.SECRETS}/mysqld_exporter"

NODE_EXPORTER = "prometheus-node-exporter"
MYSQLD_EXPORTER = "prometheus-mysqld-exporter"

# What two weeks of such a stack take, and never more than an eighth of the smallest root volume.
RETENTION_DAYS = 15
RETENTION_GB = 1


def files(topology: Topology, server: Server) -> Part:
    """Exporters, and Prometheus with Alertmanager where the server has the role `monitoring`."""
    parts = [_node_exporter(server)]
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
        "--collector.textfile.directory=/var/lib/prometheus/node-exporter",
    )
    return Part(
        files=(File(f"/etc/default/{NODE_EXPORTER}", options),),
        units=(Unit(f"{NODE_EXPORTER}.service", files=(f"/etc/default/{NODE_EXPORTER}",)),),
        packages=(NODE_EXPORTER,),
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
            File(ALERTMANAGER, render(HERE, "alertmanager.yml.j2", topology=topology)),
        ),
        units=(
            Unit(
                "prometheus.service",
                files=("/etc/default/prometheus", CONFIGURATION),
                check=("promtool", "check", "config", "{root}" + CONFIGURATION),
                action="reload",
            ),
            Unit(
                "prometheus-alertmanager.service",
                files=("/etc/default/prometheus-alertmanager", ALERTMANAGER),
                check=("amtool", "check-config", "{root}" + ALERTMANAGER),
                action="reload",
            ),
        ),
        packages=("prometheus", "prometheus-alertmanager"),
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
    return {"topology": topology, "server": server, "jobs": jobs, "alertmanagers": jobs["alertmanager"]}
