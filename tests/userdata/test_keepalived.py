"""keepalived.conf read back: who hears whom, and who wins; the real keepalived judges the file."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings

from tests.userdata.image import Image, find
from tests.userdata.topologies import build, preset, topologies
from topology.flows import allowed
from topology.names import Edge, Role
from userdata import paths
from userdata.host.vrrp_events import parse as parse_events
from userdata.keepalived import files as part
from userdata.render import bundle

FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]|[^\s{}]+')


def parse(text):
    """Blocks as {"name argument": {...}}, other lines as {word: rest}; a bare word is True."""
    stack = [{}]
    for line in text.splitlines():
        words = WORD.findall(line.split("#")[0] if '"' not in line else line)
        if not words:
            continue
        if words[-1] == "{":
            block = {}
            assert " ".join(words[:-1]) not in stack[-1]
            stack[-1][" ".join(words[:-1])] = block
            stack.append(block)
        elif words == ["}"]:
            stack.pop()
        else:
            stack[-1][words[0]] = " ".join(words[1:]) or True
    assert len(stack) == 1
    return stack[0]


def sharing(topology):
    return topology.load_balancers if topology.edge is Edge.FLOATING_EIP else ()


def content(topology, server):
    return {file.path: file.content for file in bundle(topology, server).files}


def instance(topology, server):
    return parse(content(topology, server)[part.CONFIGURATION])[f"vrrp_instance {part.INSTANCE}"]


@FEW
@given(topologies())
def test_any_topology(topology):
    for server in topology.servers:
        found = bundle(topology, server)
        units = {unit.name for unit in found.units}
        shares = server in sharing(topology)
        assert (part.CONFIGURATION in {file.path for file in found.files}) is shares
        assert ("keepalived.service" in units) is ("tripod-floating-address.service" in units) is shares
        assert ("keepalived.service" in found.absent_units) is not shares
        assert ("keepalived" in found.packages) is shares


@FEW
@given(topologies())
def test_every_peer_hears_every_other_by_unicast(topology):
    for server in sharing(topology):
        vrrp = instance(topology, server)
        peers = {str(peer.address) for peer in sharing(topology)} - {str(server.address)}
        assert vrrp["unicast_src_ip"] == str(server.address)
        assert set(vrrp["unicast_peer"]) == peers
        assert vrrp["state"] == "BACKUP"
        assert vrrp["no_virtual_ipaddress"] is True
        assert not {"virtual_ipaddress", "interface", "authentication", "nopreempt"} & set(vrrp)
        for peer in sharing(topology):
            if peer is not server:
                assert allowed(topology, server, peer, "vrrp", None)


def test_timing_is_the_same_on_both_and_quick_enough():
    topology = preset("active-passive")
    shared = ("advert_int", "down_timer_adverts", "virtual_router_id")
    one, other = (instance(topology, server) for server in topology.load_balancers)
    assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
    down = float(one["advert_int"]) * int(one["down_timer_adverts"])
    assert 0.5 <= down <= 0.7, "short enough for a takeover within a second, long enough for a busy server"
    assert (float(one["advert_int"]) * 100).is_integer(), "VRRPv3 counts in centiseconds"


@FEW
@given(topologies())
def test_priorities(topology):
    """Health beats holding, holding beats rank, rank is the order of the stack; all of it is a legal priority."""
    base = [part.base_priority(topology, server) for server in sharing(topology)]
    if not base:
        return
    healthy, holder = part.HEALTHY_BONUS, part.HOLDER_BONUS
    assert base == sorted(base, reverse=True)
    assert len(base) > part.SPREAD + 1 or len(set(base)) == len(base)
    # The worst healthy one against the best that is sick, although that one holds the address.
    assert min(base) + healthy > max(base) + holder + 1
    # One that returns against the holder; the daemon's questions move a priority by one.
    assert min(base) + holder > max(base) + 1
    # All of them in the range of RFC 9568.
    assert min(base) >= 1
    assert max(base) + healthy + holder + 1 <= 254


def test_both_ends_of_the_runtime_directory_agree():
    topology = preset("active-passive")
    server = topology.load_balancers[0]
    found = content(topology, server)
    conf = parse(found[part.CONFIGURATION])
    facts = json.loads(found[part.FACTS])
    assert conf["global_defs"]["vrrp_notify_fifo"] == f"{facts['runtime']}/vrrp"
    assert conf["track_file holder"]["file"] == f"{facts['runtime']}/holder"
    assert conf["global_defs"]["vrrp_notify_priority_changes"] == "true"
    made = [line.split()[:2] for line in found[part.TMPFILES].splitlines() if not line.startswith("#")]
    assert made == [["d", facts["runtime"]], ["p", f"{facts['runtime']}/vrrp"], ["f", f"{facts['runtime']}/holder"]]
    assert list(parse_events([f'INSTANCE "{facts["instance"]}" MASTER 200'], part.INSTANCE))
    assert facts["address"] == str(server.address)
    assert [one["name"] for one in facts["load_balancers"]] == [one.name for one in topology.load_balancers]
    assert facts["tags"] == {"tripod:stack": topology.stack, "Name": f"tripod-{topology.stack}"}


def test_haproxy_is_asked_at_its_private_address_and_not_by_root():
    topology = preset("active-passive")
    server = topology.load_balancers[1]
    conf = parse(content(topology, server)[part.CONFIGURATION])
    script = conf["vrrp_script haproxy"]
    assert f"/dev/tcp/{server.address}/8404" in script["script"]
    assert "GET /healthz" in script["script"]
    assert int(script["weight"]) > 0, "a weight of 0 would leave nobody to hold the address when all are sick"
    assert script["init_fail"] is True
    assert conf["global_defs"]["script_user"] == "keepalived_script"
    assert conf["global_defs"]["enable_script_security"] is True
    assert "keepalived_script" in content(topology, server)[part.SYSUSERS]
    assert "vrrp_rt_priority" not in conf["global_defs"], "keepalived 2.3 kills itself at a reload with it"


def test_a_change_reloads_and_does_not_restart():
    units = {unit.name: unit for unit in bundle(*_first()).units}
    assert units["keepalived.service"].action == "reload"
    assert any(part.CONFIGURATION.startswith(path) for path in units["keepalived.service"].files)
    assert part.FACTS in units["tripod-floating-address.service"].files


def _first():
    topology = preset("active-passive")
    return topology, topology.load_balancers[0]


# -- the image's own keepalived


@pytest.fixture(scope="module")
def root():
    return find()


@pytest.fixture
def image(root, tmp_path):
    return Image(root, tmp_path)


def check(image, topology, server, change=lambda text: text):
    found = bundle(topology, server)
    image.stage({file.path: file.content for file in found.files})
    conf = image.scratch / "staged" / part.CONFIGURATION.lstrip("/")
    conf.write_text(change(conf.read_text()))
    unit = next(unit for unit in found.units if unit.name == "keepalived.service")
    return image.run(*(word.replace("{root}", "/staged") for word in unit.check))


FIVE = build(
    edge="floating-eip",
    servers=[{"name": f"lb-{n}", "roles": ["load_balancer", *(["app"] if n == 1 else [])]} for n in (1, 2, 3)]
    + [{"name": f"db-{n}", "roles": ["database"]} for n in (4, 5, 6)],
)


@pytest.mark.native
@pytest.mark.parametrize("topology", [preset("active-passive"), FIVE], ids=["active-passive", "three load balancers"])
def test_keepalived_accepts_the_file(image, topology):
    for server in topology.with_role(Role.LOAD_BALANCER):
        result = check(image, topology, server)
        assert result.returncode == 0, result.stdout
        assert not re.search("deprecated|unknown|error|warning|removing|disabling", result.stdout, re.IGNORECASE)


@pytest.mark.native
@pytest.mark.parametrize(
    "old,new",
    [
        ("advert_int 0.05", "advert_int soon"),
        ("virtual_router_id 51", "virtual_router_id 512"),
        ("script_user keepalived_script", "script_user nobody_at_all"),
        ("        haproxy\n", "        haproxies\n"),
        ("unicast_src_ip 10", "unicast_src_ip 10.10.10.10.10"),
    ],
)
def test_keepalived_refuses_a_broken_file(image, old, new):
    topology, server = _first()
    result = check(image, topology, server, lambda text: text.replace(old, new, 1))
    assert result.returncode != 0
    assert "Line" in result.stdout, "it says where"


@pytest.mark.native
def test_systemd_understands_both_units(image):
    topology, server = _first()
    image.stage({file.path: file.content for file in bundle(topology, server).files})
    units = "keepalived.service tripod-floating-address.service"
    result = image.run("sh", "-c", f"cp -r /staged{paths.SYSTEMD}/. {paths.SYSTEMD}/; cd {paths.SYSTEMD} && "
                       f"systemd-analyze verify --man=no {units}")  # fmt: skip
    complaints = [line for line in result.stdout.splitlines() if "keepalived" in line or "floating" in line]
    assert not complaints, result.stdout
