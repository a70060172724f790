"""haproxy.cfg of one server. A server with both roles runs one HAProxy that does both."""

from __future__ import annotations

from pathlib import Path

from topology import flows, names, ports
from topology.draining import drain_seconds
from topology.model import Server, Topology
from topology.names import Edge, Role
from userdata import paths
from userdata.bundle import File, Part, Secret, Unit
from userdata.templates import render

HERE = Path(__file__).parent

CONFIGURATION = "/etc/haproxy/haproxy.cfg"
CERTIFICATE = f"{paths.SITE_TLS}/site.pem"
# HAProxy finds the key beside its certificate by this ending (ssl-load-extra-files key).
KEY = f"{CERTIFICATE}.key"

# Connections of one client address at a time. A browser uses six; an office behind one address some hundreds.
CONNECTIONS_PER_CLIENT = 300
CONNECTIONS = 4000
REQUESTS_PER_APP_SERVER = 200

# In each interval of milliseconds every application server asks every database server once as reader and, as long as it
# is not the writer, about once as writer: the role check holds such an answer back until it changes. Often, because a
# request waits for the answer, but no role check more than so often.
ROLE_CHECK_INTERVAL = 250
ROLE_CHECKS_PER_SECOND = 100


def files(topology: Topology, server: Server) -> Part:
    """The HAProxy part; empty on servers that are neither load balancer nor application server."""
    if not (server.has(Role.LOAD_BALANCER) or server.has(Role.APP)):
        return Part()
    return Part(
        files=(
            File(CONFIGURATION, configuration(topology, server)),
            File(
                f"{paths.SYSTEMD}/haproxy.service.d/tripod.conf",
                render(
                    HERE,
                    "haproxy.service.d.conf.j2",
                    app=server.has(Role.APP),
                    library=paths.LIBRARY,
                    drain=drain_seconds(topology.edge) if server.has(Role.LOAD_BALANCER) else 0,
                ),
            ),
        ),
        secrets=_certificate(topology) if server.has(Role.LOAD_BALANCER) else (),
        units=(
            Unit(
                "haproxy.service",
                files=("/etc/haproxy/", f"{paths.SITE_TLS}/"),
                # The certificate is looked for below TRIPOD_ROOT: the staged one is judged, not the old one.
                check=("env", "TRIPOD_ROOT={root}", "haproxy", "-c", "-f", "{root}" + CONFIGURATION),
                action="reload",
            ),
        ),
        packages=("haproxy",),
    )


def configuration(topology: Topology, server: Server) -> str:
    """The text of haproxy.cfg."""
    application = topology.application
    return render(
        HERE,
        "haproxy.cfg.j2",
        topology=topology,
        server=server,
        load_balancer=server.has(Role.LOAD_BALANCER),
        app=server.has(Role.APP),
        proxy_protocol=topology.edge is Edge.NLB,
        apps=topology.apps,
        app_port=flows.app_port(topology),
        health=application.health if application else "/healthz",
        health_host=topology.domain or topology.stack,
        writers=topology.databases,
        role_check_interval=role_check_interval(len(topology.apps)),
        readers=(*topology.databases, *topology.read_replicas),
        ports=ports,
        site=f"{paths.SITE_TLS}/",
        connections=CONNECTIONS,
        connections_per_client=CONNECTIONS_PER_CLIENT,
        requests_per_app_server=REQUESTS_PER_APP_SERVER,
    )


def role_check_interval(apps: int) -> int:
    """Milliseconds between two checks of a database server by one HAProxy, of which `apps` application servers ask."""
    return max(ROLE_CHECK_INTERVAL, 4 * apps * 1000 // ROLE_CHECKS_PER_SECOND)


def _certificate(topology: Topology) -> tuple[Secret, ...]:
    tls, stack = topology.tls, topology.stack
    return (
        Secret(CERTIFICATE, tls.certificate_parameter or names.site_certificate_parameter(stack), "0400"),
        Secret(KEY, tls.key_parameter or names.site_key_parameter(stack), "0400"),
    )
