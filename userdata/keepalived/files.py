"""keepalived.conf and the units of a floating address: keepalived elects, host/floating_address.py moves.

On a routed network without multicast VRRP cannot move an address; it only elects, by unicast. The address is an
Elastic IP, so no server ever has it on an interface.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from topology import names, ports
from topology.model import Server, Topology
from topology.names import Edge, Role
from userdata import paths
from userdata.bundle import File, Part, Unit
from userdata.templates import render

HERE = Path(__file__).parent

CONFIGURATION = "/etc/keepalived/keepalived.conf"
SYSUSERS = "/etc/sysusers.d/tripod-keepalived.conf"
TMPFILES = "/etc/tmpfiles.d/tripod-keepalived.conf"
FACTS = "/etc/tripod/floating-address.json"
RUNTIME = "/run/tripod-address"
NOTIFY = f"{RUNTIME}/vrrp"
HOLDER = f"{RUNTIME}/holder"

INSTANCE = "floating_address"
ROUTER_ID = 51

# Seconds. A master is lost after 13 intervals of 50 ms: 0.65 s. As many as that, and not VRRP's own three longer
# ones, because with three a network that loses every third packet would move the address every few seconds; with
# thirteen it is less than once a day. VRRPv3 counts in centiseconds (RFC 9568, 5.2.7).
ADVERT_INTERVAL = 0.05
DOWN_ADVERTS = 13

# Priorities (1 to 254). A server whose HAProxy is well beats any whose is not; among equals the holder of the address
# keeps it, so that a server that returns takes nothing away; only then the order of the stack decides. That order
# also spreads the moment at which several backups would take over (the skew of RFC 9568, 6.1).
BASE = 100
SPREAD = 30
HOLDER_BONUS = 40
HEALTHY_BONUS = 100

# HAProxy is asked every half second; three bad answers in a row (1 to 1.5 s) are a sick HAProxy. One that was killed
# is back before that (haproxy.service restarts it after 0.2 s), and then moving the address would only cost more. One
# that hangs is noticed in 3 to 4.5 s.
HEALTH_INTERVAL = 0.5
HEALTH_TIMEOUT = 1
HEALTH_FALL = 3
HEALTH_RISE = 2


def files(topology: Topology, server: Server) -> Part:
    """The part of a load balancer that shares a floating address; empty on every other server."""
    if topology.edge is not Edge.FLOATING_EIP or not server.has(Role.LOAD_BALANCER):
        return Part()
    service = f"{paths.SYSTEMD}/tripod-floating-address.service"
    drop_in = f"{paths.SYSTEMD}/keepalived.service.d/tripod.conf"
    # The user and the directory exist on a server by the time of the check; not so where a bundle is only judged.
    check = (
        f"systemd-sysusers {{root}}{SYSUSERS} && systemd-tmpfiles --create {{root}}{TMPFILES} && "
        f"exec keepalived --config-test --use-file={{root}}{CONFIGURATION}"
    )
    return Part(
        files=(
            File(CONFIGURATION, configuration(topology, server)),
            File(SYSUSERS, render(HERE, "sysusers.conf.j2")),
            File(TMPFILES, render(HERE, "tmpfiles.conf.j2", runtime=RUNTIME, notify=NOTIFY, holder=HOLDER)),
            File(drop_in, render(HERE, "keepalived.service.d.conf.j2")),
            File(service, render(HERE, "tripod-floating-address.service.j2", library=paths.LIBRARY, runtime=RUNTIME)),
            File(FACTS, json.dumps(facts(topology, server), indent=2, sort_keys=True) + "\n"),
        ),
        units=(
            Unit("tripod-floating-address.service", files=(FACTS, f"{paths.PROGRAMS}/")),
            Unit("keepalived.service", files=("/etc/keepalived/",), check=("sh", "-c", check), action="reload"),
        ),
        packages=("keepalived",),
    )


def configuration(topology: Topology, server: Server) -> str:
    """The text of keepalived.conf."""
    return render(
        HERE,
        "keepalived.conf.j2",
        topology=topology,
        server=server,
        peers=[peer for peer in topology.load_balancers if peer.name != server.name],
        instance=INSTANCE,
        router_id=ROUTER_ID,
        priority=base_priority(topology, server),
        advert_interval=ADVERT_INTERVAL,
        down_adverts=DOWN_ADVERTS,
        healthy_bonus=HEALTHY_BONUS,
        health_interval=HEALTH_INTERVAL,
        health_timeout=HEALTH_TIMEOUT,
        health_fall=HEALTH_FALL,
        health_rise=HEALTH_RISE,
        health_port=ports.HAPROXY_METRICS,
        notify=NOTIFY,
        holder=HOLDER,
    )


def base_priority(topology: Topology, server: Server) -> int:
    """BASE for the first load balancer, down to BASE - SPREAD for the last.

    More than SPREAD + 1 load balancers share the lowest; VRRP then prefers the higher private address.
    """
    rank = [balancer.name for balancer in topology.load_balancers].index(server.name)
    step = max(1, min(15, SPREAD // max(1, len(topology.load_balancers) - 1)))
    return BASE - min(SPREAD, rank * step)


def facts(topology: Topology, server: Server) -> dict[str, Any]:
    """The content of floating-address.json, read by host/floating_address.py. Servers are in their order of rank.

    The address is named by its tags: its allocation id does not exist yet when a preview shows this file.
    """
    return {
        "region": topology.region,
        "server": server.name,
        "address": str(server.address),
        "tags": {names.TAG_STACK: topology.stack, "Name": f"{names.PROJECT}-{topology.stack}"},
        "load_balancers": [{"name": s.name, "address": str(s.address)} for s in topology.load_balancers],
        "health_port": ports.HAPROXY_METRICS,
        "instance": INSTANCE,
        "holder_bonus": HOLDER_BONUS,
        "runtime": RUNTIME,
    }
