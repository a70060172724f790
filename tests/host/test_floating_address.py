"""The daemon of the floating address: alone on moto, and whole stacks of them under a simulated VRRP."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from tests.host.floating import STRANGER, A, B, Broken, C, Clock, M, Server, SharedEc2
from userdata.host.elastic_ip import AddressError, Location
from userdata.host.floating_address import LOOK_MASTER, SURE
from userdata.host.floating_address_decision import Action


@pytest.fixture
def server(cloud):
    return Server.of(A, cloud.elastic_ip(A), Clock())


def test_a_master_takes_the_address_and_a_backup_does_not(cloud, server):
    server.hear("BACKUP")
    server.run(60)
    assert cloud.where() is None
    assert server.holder.value == 0
    server.hear("MASTER")
    server.run(0.2)
    assert cloud.where() == cloud.ids[A]
    assert server.holder.value == 40
    assert (server.status.vrrp, server.status.here, server.status.at) == ("MASTER", True, "server-1")
    server.hear("BACKUP")
    server.run(1)
    assert cloud.where() == cloud.ids[A], "it stays where it is until another takes it"
    assert server.holder.value == 0


@pytest.mark.parametrize("thief", ["stranger", "peer", None])
def test_a_stolen_or_lost_association_is_healed(cloud, server, thief):
    server.become_master()
    server.run(5)
    if thief is None:
        association = cloud.ec2.describe_addresses(AllocationIds=[cloud.allocation])["Addresses"][0]["AssociationId"]
        cloud.ec2.disassociate_address(AssociationId=association)
    else:
        cloud.associate(cloud.ids[STRANGER if thief == "stranger" else B])
    server.run(LOOK_MASTER + 0.2)
    assert cloud.where() == cloud.ids[A]


def test_without_healing_a_stolen_association_stays(cloud):
    """The negative control: it is the healing, and nothing else, that brings the address back."""
    server = Server.of(A, cloud.elastic_ip(A), Clock(), heal=False)
    server.become_master()
    server.run(5)
    assert cloud.where() == cloud.ids[A]
    cloud.associate(cloud.ids[B])
    server.run(60)
    assert cloud.where() == cloud.ids[B]
    assert server.status.here is False


def test_a_short_flap_of_the_other_is_undone_and_the_address_ends_at_the_master(cloud):
    clock = Clock()
    a, b = (Server.of(address, cloud.elastic_ip(address), clock) for address in (A, B))
    a.hear("BACKUP", "MASTER")
    b.hear("BACKUP")
    for _ in range(100):
        a.turn(), b.turn()
        clock.now += 0.05
    # b takes the address, and its keepalived says BACKUP while the call is under way.
    b.hear("MASTER")
    b.turn()
    clock.now += SURE + 0.001
    taking = b.daemon.elastic_ip.take

    def late():
        taking()
        b.words.say("BACKUP")

    b.daemon.elastic_ip.take = late
    b.turn()
    assert cloud.where() == cloud.ids[B]
    a.hear("MASTER_RX_LOWER_PRI")
    for _ in range(20):
        a.turn(), b.turn()
        clock.now += 0.05
    assert cloud.where() == cloud.ids[A]
    assert b.status.vrrp == "BACKUP"


def test_a_flap_of_our_own_that_is_over_takes_the_address_once_more(cloud, server):
    server.become_master()
    server.run(1)
    cloud.associate(cloud.ids[B])
    server.hear("BACKUP", "MASTER")
    server.run(0.2)
    assert cloud.where() == cloud.ids[A]


def test_master_for_an_instant_only_does_nothing(cloud, server):
    server.hear("BACKUP")
    server.run(1)
    server.hear("MASTER")
    server.turn()
    server.clock.now += SURE / 2
    server.hear("BACKUP")
    server.run(5)
    assert cloud.where() is None


def test_a_daemon_that_is_restarted_looks_before_it_takes(cloud, server):
    cloud.associate(cloud.ids[A])
    calls = []
    server.daemon.elastic_ip.take = lambda: calls.append("take")
    server.holder.value = 41
    server.words.state = M
    server.words.said = ["MASTER_PRIORITY"]
    server.run(5)
    assert calls == []
    assert server.status.here is True
    assert server.holder.value == 41, "the bonus is not lost"


def test_until_keepalived_has_spoken_the_bonus_stays(cloud, server):
    server.holder.value = 40
    server.run(2)
    assert server.holder.value == 40
    server.hear("STOP")
    server.run(0.2)
    assert server.holder.value == 0


DENIED = ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "not allowed"}}, "AssociateAddress")


@pytest.mark.parametrize(
    "error,cut_off",
    [
        (DENIED, False),
        (AddressError("0 Elastic IPs"), False),
        (EndpointConnectionError(endpoint_url="http://ec2"), True),
        (ConnectTimeoutError(endpoint_url="http://ec2"), True),
        (OSError("no metadata"), True),
    ],
)
def test_an_api_that_refuses_or_is_silent_is_tried_again_and_told(error, cut_off):
    ec2 = Broken(error)
    server = Server.of(A, ec2, Clock())
    server.become_master()
    server.run(60)
    assert "take" in ec2.calls
    assert 10 <= len(ec2.calls) <= 40, "with a growing pause"
    assert str(error) in server.status.error
    assert server.holder.value == (0 if cut_off else 40), "who is cut off must not win when the cable is back"
    ec2.error, ec2.location = None, Location("203.0.113.10", "eipalloc-1", None, None)
    server.run(6)
    assert (server.status.here, server.status.error) == (True, None)
    assert server.holder.value == 40


def test_who_comes_back_from_a_cut_does_not_take_the_address_from_a_peer_that_ranks_higher_and_serves():
    ec2 = Broken(ConnectTimeoutError(endpoint_url="http://ec2"))
    server = Server.of(B, ec2, Clock())
    server.become_master()
    server.run(10)
    ec2.error, ec2.location, ec2.calls = None, Location("203.0.113.10", "eipalloc-1", A, "i-other"), []
    server.run(60)
    assert "take" not in ec2.calls
    assert server.status.action == "yield"
    server.daemon.peer_serves = lambda *_: False
    server.run(3)
    assert "take" in ec2.calls, "but from one that is dead it does"


def test_two_masters_that_do_not_hear_each_other_soon_leave_it_in_one_place():
    """Even where neither reaches the other's HAProxy, the moves become rare."""
    clock, moves = Clock(), []
    ec2 = SharedEc2(clock=clock)
    a, b = (Server.of(one, ec2.of(one), clock, peer_serves=lambda *_: False) for one in (A, B))
    a.become_master()
    b.become_master()
    for _ in range(round(300 / 0.05)):
        a.turn(), b.turn()
        if not moves or ec2.holder != moves[-1][1]:
            moves.append((clock.now, ec2.holder))
        clock.now += 0.05
    assert ec2.holder == A
    assert len([at for at, _ in moves if at > clock.now - 180]) <= 8


def test_a_refused_association_is_not_forgotten_because_looking_works():
    ec2 = Broken(location=Location("203.0.113.10", "eipalloc-1", None, None))
    ec2.refuses = DENIED
    server = Server.of(A, ec2, Clock())
    server.become_master()
    server.run(60)
    assert 10 <= ec2.calls.count("take") <= 25
    assert "AssociateAddress" in server.status.error
    ec2.refuses = None
    server.run(6)
    assert (server.status.here, server.status.error) == (True, None)


@pytest.mark.parametrize(
    "error,told", [(DENIED, True), (ConnectTimeoutError(endpoint_url="http://ec2"), False), (OSError("down"), False)]
)
def test_who_stands_down_tells_of_a_failed_association_only_when_the_next_would_fail_too(error, told):
    ec2 = Broken(error)
    server = Server.of(B, ec2, Clock())
    server.become_master()
    server.run(5)
    assert "AssociateAddress" in server.status.error
    ec2.error, ec2.location = None, Location("203.0.113.10", "eipalloc-1", A, "i-other")
    server.hear("BACKUP")
    server.run(30)
    assert ("AssociateAddress" in (server.status.error or "")) is told
    assert "DescribeAddresses" not in (server.status.error or "")


@given(st.data())
def test_once_vrrp_is_quiet_the_address_is_at_its_master(data):
    """Any history of flaps on three servers, with stale answers of the API, ends well."""
    clock = Clock()
    ec2 = SharedEc2(data.draw(st.sampled_from([0.0, 0.0, 2.0])), clock)
    servers = {one: Server.of(one, ec2.of(one), clock, servers=(A, B, C)) for one in (A, B, C)}
    history = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from([A, B, C]),
                st.sampled_from(["MASTER", "BACKUP", "FAULT", "STOP"]),
                st.sampled_from([0.0, 0.01, 0.04, 0.5, 2.0]),
            ),
            max_size=25,
        )
    )

    def run(seconds):
        end = clock.now + seconds
        while clock.now < end:
            for one in servers.values():
                one.turn()
            clock.now += 0.05

    for one, word, pause in history:
        servers[one].hear(word)
        before = list(ec2.takes)
        run(pause)
        masters = {address for address, s in servers.items() if s.words.state is M}
        assert set(ec2.takes[len(before) :]) <= masters, "only masters take"
    master = data.draw(st.sampled_from([A, B, C]))
    for address, one in servers.items():
        if address != master:
            one.hear("BACKUP")
        elif one.words.state is not M:
            one.hear("MASTER")
    ec2.takes.clear()
    # VRRP follows the bonus: a master that yields loses to the one that holds the address.
    for _ in range(10):
        run(2)
        master = next(address for address, one in servers.items() if one.words.state is M)
        if servers[master].daemon.action is Action.YIELD:
            servers[master].hear("BACKUP")
            servers[ec2.holder].hear("MASTER")
    assert ec2.holder == master
    assert servers[master].status.here is True
    assert [one.holder.value for one in servers.values()].count(40) == 1
