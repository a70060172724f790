"""The fabric between namespaces, without hosts: what passes, what does not, and what the faults break."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import threading
import time

import pytest

from rehearsal import namespace
from rehearsal.firewall_rules import API_ADDRESS, METADATA_ADDRESS, HostRules, Rule
from rehearsal.network import Fabric
from rehearsal.shell import RehearsalError, run
from tests.rehearsal.data_plane import ANYWHERE, NETWORK, OPEN, stack, traces

pytestmark = pytest.mark.rehearsal
A, B, C = "10.70.1.10", "10.70.2.10", "10.70.1.11"


@pytest.fixture
def fabric(tmp_path):
    with stack(tmp_path) as made:
        made.fabric.plug("a", A, "10.70.1.0/24")
        made.fabric.plug("b", B, "10.70.2.0/24")
        made.fabric.plug("c", C, "10.70.1.0/24")
        yield made.fabric


def reaches(fabric, place, address, port, timeout=0.4, source=None):
    """Whether a connection opens; a refusal counts as an error of the test, since the firewall never refuses."""
    try:
        fabric.connect(place, address, port, timeout=timeout, source=source).close()
    except TimeoutError:
        return False
    return True


def udp(fabric, host):
    return namespace.within(fabric.host_namespace(host), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def test_nothing_passes_without_a_rule(fabric):
    with fabric.listen("b", B, 80), fabric.listen("c", C, 80):
        assert not reaches(fabric, "a", B, 80)
        assert not reaches(fabric, "a", C, 80), "hosts of one subnet are no more friends than others"
        fabric.set_rules({"a": OPEN})
        assert not reaches(fabric, "a", B, 80), "leaving is allowed, entering is not"
        fabric.set_rules({"b": OPEN})
        assert not reaches(fabric, "a", B, 80), "entering is allowed, leaving is not"


def test_a_rule_opens_its_protocol_port_and_peer_and_no_more(fabric):
    fabric.set_rules(
        {
            "a": HostRules(egress=(Rule("tcp", ANYWHERE, 1, 65535),)),
            "b": HostRules(ingress=(Rule("tcp", (A,), 80, 81), Rule("udp", (A,), 82, 82))),
            "c": HostRules(egress=(Rule("all", ANYWHERE),)),
        }
    )
    with contextlib.ExitStack() as servers:
        for port in (79, 80, 81, 82):
            servers.enter_context(fabric.listen("b", B, port))
        assert [port for port in (79, 80, 81, 82) if reaches(fabric, "a", B, port)] == [80, 81]
        assert not reaches(fabric, "c", B, 80)


def test_a_rule_may_name_an_ip_protocol_by_number(fabric):
    vrrp = HostRules(ingress=(Rule("112", (A, B)),), egress=(Rule("112", (A, B)),))
    fabric.set_rules({"a": vrrp, "b": vrrp})

    def raw():
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)

    with (
        namespace.within(fabric.host_namespace("a"), raw) as sender,
        namespace.within(fabric.host_namespace("b"), raw) as receiver,
    ):
        receiver.settimeout(2)
        sender.sendto(b"advert", (B, 0))
        assert receiver.recvfrom(1500)[0].endswith(b"advert")
        fabric.block("a", "b", "112")
        receiver.settimeout(0.3)
        sender.sendto(b"advert", (B, 0))
        with pytest.raises(TimeoutError):
            receiver.recvfrom(1500)


def test_established_connections_outlive_a_removed_rule_but_not_a_fault(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    with fabric.listen("b", B, 80) as server:
        client = fabric.connect("a", B, 80)
        peer, address = server.accept()
        assert address[0] == A
        fabric.set_rules({})
        client.sendall(b"still")
        assert peer.recv(16) == b"still"
        fabric.block("a", "b", "tcp")
        client.sendall(b"lost")
        peer.settimeout(0.4)
        with pytest.raises(TimeoutError):
            peer.recv(16)
        fabric.heal()
        peer.settimeout(5)
        assert peer.recv(16) == b"lost", "TCP sends it again"


def test_a_host_cannot_send_with_another_address(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN, "c": OPEN})
    run(["ip", "-n", fabric.host_namespace("a"), "addr", "add", "10.70.1.99/32", "dev", "lo"])
    with fabric.listen("b", B, 80):
        assert reaches(fabric, "a", B, 80, source=A)
        assert not reaches(fabric, "a", B, 80, source="10.70.1.99")


def test_elastic_ips_lead_in_from_the_world_and_move(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN, "c": OPEN})
    fabric.set_elastic_ips({"203.0.113.10": A})
    with fabric.listen("a", A, 443) as on_a, fabric.listen("b", B, 443) as on_b:
        old = fabric.connect("world", "203.0.113.10", 443, source="198.51.100.200")
        peer, client = on_a.accept()
        assert client[0] == "198.51.100.200", "the host sees its client's own address"
        assert not reaches(fabric, "world", "203.0.113.11", 443), "an address of nobody"
        assert not reaches(fabric, "world", A, 443), "private addresses mean nothing in the world"
        fabric.set_elastic_ips({"203.0.113.10": B})
        fabric.connect("world", "203.0.113.10", 443).close()
        on_b.settimeout(2)
        on_b.accept()
        old.sendall(b"?")
        old.settimeout(2)
        with pytest.raises(ConnectionResetError):  # the new host knows nothing of the old one's connections
            old.recv(16)
        peer.close()


def test_hosts_reach_elastic_ips_from_outside_with_their_own(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN, "c": OPEN})
    fabric.set_elastic_ips({"203.0.113.10": A, "203.0.113.11": B})
    with fabric.listen("a", A, 443) as server:
        assert reaches(fabric, "b", "203.0.113.10", 443)
        assert server.accept()[1][0] == "203.0.113.11"
        assert not reaches(fabric, "c", "203.0.113.10", 443), "without a public address there is no way out"


def test_the_metadata_service_is_there_for_every_host_and_the_api_for_those_allowed(fabric):
    fabric.set_rules({"a": HostRules(), "b": HostRules(api_access=False)})
    with fabric.listen("fabric", METADATA_ADDRESS, 80) as service, fabric.listen("fabric", API_ADDRESS, 80):
        for host, address in (("a", A), ("b", B), ("c", C)):
            assert reaches(fabric, host, METADATA_ADDRESS, 80)
            assert service.accept()[1][0] == address
        assert not reaches(fabric, "world", METADATA_ADDRESS, 80)
        assert [host for host in ("a", "b", "c") if reaches(fabric, host, API_ADDRESS, 80)] == ["a"]


def test_a_host_without_power_is_silent(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    client = None
    with fabric.listen("b", B, 80):
        client = fabric.connect("a", B, 80)
        fabric.unplug("b")
        started = time.monotonic()
        assert not reaches(fabric, "a", B, 80, timeout=0.5), "neither refused nor unreachable"
        assert time.monotonic() - started >= 0.5
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):  # no FIN and no RST came from the dead host
        client.recv(1)
    fabric.plug("b", B, "10.70.2.0/24")
    with fabric.listen("b", B, 80):
        assert reaches(fabric, "a", B, 80, timeout=2), "rules outlive the power"


def test_a_cut_host_reaches_nothing_and_loss_is_a_share(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    with fabric.listen("b", B, 80), fabric.listen("fabric", METADATA_ADDRESS, 80):
        fabric.cut("b")
        assert not reaches(fabric, "a", B, 80)
        assert not reaches(fabric, "b", METADATA_ADDRESS, 80)
        fabric.heal("b")
        assert reaches(fabric, "a", B, 80, timeout=2)

    with udp(fabric, "a") as sender, udp(fabric, "b") as receiver:
        receiver.bind((B, 9000))
        receiver.settimeout(0.3)
        fabric.netem("b", loss=0.3)
        for _ in range(250):
            sender.sendto(b"x", (B, 9000))
        arrived = 0
        with contextlib.suppress(TimeoutError):
            while receiver.recv(8):
                arrived += 1
    assert 139 <= arrived <= 211, "30 % of 250 lost, within five standard deviations"


def round_trips(fabric, count=20):
    """Seconds that each of `count` datagrams took from a to b and back."""
    with udp(fabric, "a") as here, udp(fabric, "b") as there:
        there.bind((B, 9000))
        for end in (here, there):
            end.settimeout(5)
        took = []
        for number in range(count):
            began = time.monotonic()
            here.sendto(bytes([number]), (B, 9000))
            data, peer = there.recvfrom(8)
            there.sendto(data, peer)
            assert here.recv(8) == bytes([number])
            took.append(time.monotonic() - began)
        return took


def test_late_packets_are_late_each_way_until_it_is_healed(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN, "c": OPEN})
    fabric.netem("b", delay=0.05)
    late = round_trips(fabric)
    assert min(late) >= 0.1
    assert statistics.median(late) < 0.3
    fabric.netem("b", delay=0.01)
    assert 0.02 <= min(round_trips(fabric)) < 0.1, "a new delay replaces the old one"
    fabric.heal("b")
    assert min(round_trips(fabric)) < 0.01


def test_what_still_waits_at_the_end_is_not_lost(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    with udp(fabric, "a") as here, udp(fabric, "b") as there:
        there.bind((B, 9000))
        there.settimeout(4)
        here.sendto(b"first", (B, 9000))
        assert there.recv(8) == b"first", "the way is known"
        fabric.netem("a", delay=60)
        here.sendto(b"late", (B, 9000))
        fabric.heal("a")
        assert there.recv(8) == b"late"


def test_late_packets_arrive_whole_and_in_order(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    sent = random.Random(1).randbytes(8_000_000)
    with fabric.listen("b", B, 80) as server:
        fabric.netem("a", delay=0.02)
        with fabric.connect("a", B, 80) as client:
            writer = threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)))
            writer.start()
            peer, _ = server.accept()
            with peer:
                peer.settimeout(20)
                received = b"".join(iter(lambda: peer.recv(1 << 16), b""))
            writer.join()
    assert received == sent


def test_a_host_that_was_late_leaves_nothing_and_comes_back_in_time(fabric):
    fabric.set_rules({"a": OPEN, "b": OPEN})
    fabric.netem("b", delay=0.05)
    fabric.unplug("b")
    fabric.plug("b", B, "10.70.2.0/24")
    assert min(round_trips(fabric)) < 0.01
    for place in ("fabric", "b"):
        links = run(["ip", "-n", fabric.paths.object_name(place), "-brief", "link"]).stdout
        assert "late" not in links


def test_a_fabric_takes_nobody_elses_names_and_leaves_none(fabric, tmp_path):
    second = Fabric(fabric.paths.stack, NETWORK, state_root=tmp_path)
    with pytest.raises(RehearsalError, match="File exists"):
        second.up()
    fabric.down()
    fabric.down()
    assert traces(fabric.paths.stack, tmp_path) == []


def test_bad_arguments_are_refused(fabric):
    with pytest.raises(ValueError, match="not in its subnet"):
        fabric.plug("d", "10.70.9.9", "10.70.1.0/24")
    with pytest.raises(ValueError, match=r"not in 203\.0\.113"):
        fabric.set_elastic_ips({"8.8.8.8": A})
    with pytest.raises(RehearsalError, match="no host 'z'"):
        fabric.cut("z")
