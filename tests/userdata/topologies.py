"""Topologies for tests: the presets, and a hypothesis strategy for any other."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from topology.build import build_topology
from topology.model import Topology
from topology.presets import PRESETS
from topology.settings import Settings

REGION = "eu-central-1"
ZONES = [f"{REGION}{letter}" for letter in "abc"]
BUCKET = f"tripod-dev-123456789012-{REGION}"


def build(stack: str = "dev", **settings: object) -> Topology:
    return build_topology(Settings.parse(settings), stack=stack, region=REGION, zones=ZONES)


@cache
def preset(name: str) -> Topology:
    return build(preset=name)


PRESET_SERVERS = [(name, server) for name in PRESETS for server in PRESETS[name].servers]

OWN_APPLICATION = {
    "artifact": "s3://example-artifacts/site-1.2.3.tar.gz",
    "sha256": "ab" * 32,
    "start": "./serve --workers 4",
    "port": 9000,
    "health": "/up?deep=1",
    "secrets": {"MAIL_PASSWORD": "/example/mail-password", "API_KEY": "/example/api-key"},
}


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Any stack that settings allow: up to 12 servers with drawn roles, edges, names and applications."""
    count = draw(st.integers(3, 12))
    databases = draw(st.sampled_from([n for n in (1, 3, 5, 7) if n <= count]))
    balancers = draw(st.integers(1, count))
    servers = []
    for number in range(1, count + 1):
        roles = {"app"} if number == count else set()
        if number <= balancers:
            roles.add("load_balancer")
        if number <= databases:
            roles.add("database")
        elif draw(st.booleans()):
            roles.add("read_replica")
        if draw(st.booleans()) or not roles:
            roles.add(draw(st.sampled_from(["app", "monitoring"])))
        servers.append(
            {"name": f"{draw(st.sampled_from(['web', 'server', 'a-long-name-of']))}-{number}", "roles": sorted(roles)}
        )
    settings: dict[str, object] = {"servers": servers}
    domain = {"domain": "www.example.org", "hostedZoneId": "Z0123456789ABC"}
    if balancers == 1:
        settings["edge"] = "eip"
    else:
        settings["edge"] = draw(st.sampled_from(["nlb", "floating-eip", "dns"]))
    if settings["edge"] == "dns" or draw(st.booleans()):
        settings |= domain
    if draw(st.booleans()):
        settings["application"] = OWN_APPLICATION
    if draw(st.booleans()):
        settings["tls"] = {"mode": "provided", "certificateParameter": "/x/cert", "keyParameter": "/x/key"}
    stack = draw(
        st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True).filter(lambda name: not name.endswith("-bk"))
    )
    return build(stack, **settings)
