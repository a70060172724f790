"""haproxy.cfg read back: who is reached, by which checks, and what is never done."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from tests.userdata.haproxy_parser import parse
from tests.userdata.topologies import OWN_APPLICATION, PRESET_SERVERS, build, preset, topologies
from topology import ports
from topology.names import Edge, Role
from userdata.haproxy.files import CERTIFICATE, KEY, ROLE_CHECKS_PER_SECOND, configuration, files, role_check_interval
from userdata.host.haproxy_reload import endpoints
from userdata.host.role_check import HOLD
from userdata.keepalived.files import ADVERT_INTERVAL, DOWN_ADVERTS

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def sections(topology, server):
    return parse(configuration(topology, topology.server(server)))


@FEW
@given(topologies())
def test_every_app_server_reaches_every_database_server(topology):
    group = {s.name: f"{s.address}:{ports.MYSQL}" for s in topology.databases}
    followers = {s.name: f"{s.address}:{ports.MYSQL}" for s in topology.read_replicas}
    for server in topology.apps:
        found = parse(configuration(topology, server))
        assert found["database_writer"].servers == group
        assert found["database_reader"].servers == group | followers
        assert found["database_writer"].one("bind") == ["127.0.0.1:3306"]
        assert found["database_reader"].one("bind") == ["127.0.0.1:3307"]


@FEW
@given(topologies())
def test_every_load_balancer_reaches_every_app_server(topology):
    port = topology.application.port if topology.application else ports.APP
    for server in topology.load_balancers:
        found = parse(configuration(topology, server))
        assert found["app"].servers == {s.name: f"{s.address}:{port}" for s in topology.apps}


@FEW
@given(topologies())
def test_sections_follow_the_roles(topology):
    for server in topology.servers:
        part = files(topology, server)
        if not part.files:
            assert not {Role.APP, Role.LOAD_BALANCER} & set(server.roles)
            continue
        names = set(parse(configuration(topology, server)))
        assert ({"http", "https", "app"} <= names) is server.has(Role.LOAD_BALANCER)
        assert ({"database_writer", "database_reader"} <= names) is server.has(Role.APP)


WITH_HAPROXY = [(n, s) for n, s in PRESET_SERVERS if files(preset(n), preset(n).server(s)).files]


@pytest.mark.parametrize("name,server", WITH_HAPROXY)
def test_only_declared_ports_are_not_on_loopback(name, server):
    topology = preset(name)
    address = str(topology.server(server).address)
    binds = [words[0] for section in sections(topology, server).values() for words in section.all("bind")]
    outside = {bind for bind in binds if not bind.startswith("127.0.0.1:")}
    balancer = topology.server(server).has(Role.LOAD_BALANCER)
    checked = {f"{address}:8405"} if topology.edge is Edge.NLB and balancer else set()
    assert outside == {f"{address}:8404"} | checked | ({":80", ":443"} if balancer else set())


@pytest.mark.parametrize("name,seconds", [("reference", None), ("active-passive", "5"), ("active-active", "15")])
def test_a_load_balancer_with_a_peer_drains_before_it_stops(name, seconds):
    topology = preset(name)
    part = files(topology, topology.server("server-1"))
    unit = next(file.content for file in part.files if file.path.endswith("haproxy.service.d/tripod.conf"))
    stops = [line.split()[-1] for line in unit.splitlines() if "host.haproxy_drain" in line]
    assert stops == ([seconds] if seconds else [])


@pytest.mark.parametrize("name,server", WITH_HAPROXY)
def test_an_application_without_its_way_to_the_database_does_not_stay(name, server):
    topology = preset(name)
    part = files(topology, topology.server(server))
    unit = next(file.content for file in part.files if file.path.endswith("haproxy.service.d/tripod.conf"))
    stop = "ExecStop=/usr/bin/systemctl stop tripod-app.service"
    start = "ExecStartPost=-/usr/bin/systemctl start --no-block tripod-app.service"
    tied = {stop, start} & set(unit.splitlines())
    assert len(tied) == (2 if topology.server(server).has(Role.APP) else 0)
    # For that a crash would be a stop, too.
    assert "PropagatesStopTo" not in unit.replace("Not PropagatesStopTo", "")


def test_the_health_that_the_edge_sees_turns_bad_while_draining():
    found = sections(preset("active-active"), "server-1")
    for section in ("metrics", "health"):
        assert "var(proc.draining)" in " ".join(found[section].one("monitor"))
    assert "accept-proxy" in found["health"].one("bind")


@pytest.mark.parametrize("name,server", WITH_HAPROXY)
def test_a_reload_knows_where_every_server_is(name, server):
    text = configuration(preset(name), preset(name).server(server))
    wanted = {
        (section.name, other, address) for section in parse(text).values() for other, address in section.servers.items()
    }
    assert endpoints(text) == wanted
    assert wanted


def test_tls():
    found = sections(preset("reference"), "server-1")
    assert "TLSv1.2" in found["global"].one("ssl-default-bind-options")
    ciphers = found["global"].one("ssl-default-bind-ciphers")[0].split(":")
    assert all(cipher.startswith("ECDHE-") and ("GCM" in cipher or "CHACHA20" in cipher) for cipher in ciphers)
    bind = found["https"].one("bind")
    assert bind[bind.index("alpn") + 1] == "h2,http/1.1"
    assert "quic4@" not in " ".join(bind)
    assert ["set-header", "Strict-Transport-Security", "max-age=63072000"] in found["https"].all("http-after-response")


def test_http_only_redirects():
    found = sections(preset("reference"), "server-1")["http"]
    assert found.one("http-request") == ["redirect", "scheme", "https", "code", "308"]
    assert not found.all("default_backend")


def test_what_was_sent_is_retried_only_when_it_is_safe():
    found = sections(preset("reference"), "server-1")["app"]
    assert found.one("http-request") == ["disable-l7-retry", "unless", "{", "method", "GET", "HEAD", "OPTIONS", "}"]
    assert "conn-failure" in found.one("retry-on")
    assert found.one("option", "redispatch") == ["1"]


def test_clients_cannot_lend_themselves_an_address():
    lines = sections(preset("reference"), "server-1")["https"].all("http-request")
    deleted = [line[1] for line in lines if line[0] == "del-header"]
    assert {"X-Forwarded-", "Forwarded", "X-Real-IP"} <= set(deleted)
    first_set = next(i for i, line in enumerate(lines) if line[0] == "set-header")
    assert all(i < first_set for i, line in enumerate(lines) if line[0] == "del-header")


def test_writer_sessions_end_when_it_is_no_longer_the_writer():
    found = sections(preset("reference"), "server-2")
    default = found["database"].one("default-server")
    assert default[default.index("on-marked-down") + 1] == "shutdown-sessions"
    assert default[default.index("port") + 1] == "3380"
    assert default[default.index("init-state") + 1] == "down"
    assert "/writer" in found["database_writer"].one("http-check")
    assert "/reader" in found["database_reader"].one("http-check")


def test_a_lost_database_server_is_out_before_the_floating_address_has_moved():
    default = sections(preset("active-passive"), "server-2")["database"]
    wait = {
        word: int(value.removesuffix("ms")) for word, value in pairwise(default.one("default-server")) if "ms" in value
    }
    connect = int(default.one("timeout", "connect")[0].removesuffix("ms"))
    out = wait["inter"] + connect + wait["fastinter"] + connect
    # The EC2 API takes time, too: a tenth of a second at the very least.
    assert out <= 1000 * ADVERT_INTERVAL * DOWN_ADVERTS + 100


def test_what_a_lost_app_server_does_not_acknowledge_is_given_up_within_two_seconds():
    """Written at each server: HAProxy 3.2 does not take over tcp-ut from default-server, without a word."""
    app = sections(preset("active-passive"), "server-1")["app"]
    assert len(app.all("server")) == 3
    for line in app.all("server"):
        assert int(line[line.index("tcp-ut") + 1].removesuffix("ms")) < 2000
    for default in app.all("default-server"):
        assert "tcp-ut" not in default


@pytest.mark.parametrize("apps", [1, 3, 10, 50, 100])
def test_role_checks_stay_bounded_however_many_application_servers_ask(apps):
    interval = role_check_interval(apps)
    checks = apps * (1000 / interval + 1000 / (interval // 4 + 1000 * HOLD))
    assert checks <= ROLE_CHECKS_PER_SECOND


@pytest.mark.parametrize("name,expected", [("reference", False), ("active-passive", False), ("active-active", True)])
def test_proxy_protocol_only_behind_the_network_load_balancer(name, expected):
    found = sections(preset(name), "server-1")
    assert ("accept-proxy" in found["https"].one("bind")) is expected
    assert ("accept-proxy" in found["http"].one("bind")) is expected


def test_the_metrics_are_for_the_private_network():
    topology = preset("reference")
    found = sections(topology, "server-1")["metrics"]
    assert [str(topology.network_cidr) in " ".join(line) for line in found.all("http-request", "deny")] == [True]


def test_own_application():
    found = sections(build(application=OWN_APPLICATION), "server-1")["app"]
    send = found.all("http-check", "send")[0]
    assert send[send.index("uri") + 1] == "/up?deep=1"
    assert {address.split(":")[1] for address in found.servers.values()} == {"9000"}


def test_provided_certificate():
    topology = build(tls={"mode": "provided", "certificateParameter": "/x/cert", "keyParameter": "/x/key"})
    secrets = {s.path: s for s in files(topology, topology.server("server-1")).secrets}
    assert (secrets[CERTIFICATE].parameter, secrets[KEY].parameter) == ("/x/cert", "/x/key")
    assert {s.mode for s in secrets.values()} == {"0400"}
