"""Drills of the way in: load balancers killed, hung, lost and reloaded; the floating address contested or gone."""

from __future__ import annotations

from rehearsal.drills.busy import busy
from rehearsal.drills.drill import Drill, no_floating_address, single_load_balancer
from rehearsal.drills.judge import Limits
from rehearsal.drills.scene import Scene
from rehearsal.shell import RehearsalError

RELOADS = 200
RELOAD = f"for n in $(seq {RELOADS}); do systemctl reload haproxy.service || exit 1; done"
VRRP = 112
"""IP protocol number of VRRP (RFC 9568)."""
SETTLED = 30.0
BUSY = 600.0


def load_balancer_lost(scene: Scene) -> None:
    """Power cut of the host that holds the address; where there is a choice, it is not the primary's."""
    holder = scene.holder()
    scene.lead_from(lambda server: server != holder)
    with scene.without_power(holder):
        if not single_load_balancer(scene.stack.topology):
            scene.reads_again()
            scene.writes_again()
        scene.observe(5)


def haproxy_killed(scene: Scene) -> None:
    """kill -9 of HAProxy, which systemd starts again."""
    holder = scene.holder()
    scene.units(holder, "SIGKILL", "haproxy.service")
    scene.broke(f"HAProxy of {holder} killed")
    scene.reads_again()
    scene.observe(4)


def haproxy_hung(scene: Scene) -> None:
    """HAProxy stands still: it accepts and says nothing."""
    with scene.stopped(scene.holder(), "haproxy.service"):
        scene.observe(12)
    scene.broken_at = scene.watch.now
    scene.reads_again()
    scene.observe(3)


def haproxy_reloaded(scene: Scene) -> None:
    """Two hundred reloads in a row, under load."""
    holder = scene.holder()
    scene.broke(f"HAProxy of {holder}: {RELOADS} reloads")
    scene.stack.exec(holder, "sh", "-c", RELOAD, timeout=580)
    scene.mark("last reload done")
    scene.observe(2)


def vrrp_blocked(scene: Scene) -> None:
    """The load balancers do not hear each other, both live: each believes to be alone."""
    first, second, *_ = (server.name for server in scene.stack.topology.load_balancers)
    with scene.fault(f"no VRRP between {first} and {second}", "block", first, second, VRRP):
        scene.observe(20)
    scene.observe(3)
    scene.require("one master", lambda: len(masters(scene)) == 1, SETTLED)
    scene.require("the address is at the master", lambda: [scene.holder()] == masters(scene), SETTLED)


def address_taken_away(scene: Scene) -> None:
    """Somebody disassociates the Elastic IP; its holder has to bring it back."""
    ec2 = scene.aws().client("ec2")
    public = next(iter(scene.stack.elastic()))

    def association() -> str | None:
        found: str | None = ec2.describe_addresses(PublicIps=[public])["Addresses"][0].get("AssociationId")
        return found

    lost = association()
    scene.broke(f"{public} disassociated")
    ec2.disassociate_address(AssociationId=lost)
    # Not where packets go: that follows a moment later, and would still be as before.
    scene.require("the address leads to a server", lambda: association() not in {None, lost}, SETTLED)
    scene.reads_again()
    scene.observe(3)


def address_at_the_wrong_server(scene: Scene) -> None:
    """The Elastic IP is moved to the backup, as a short flap would leave it; the master has to take it back."""
    master = masters(scene)[0]
    other = next(server.name for server in scene.stack.topology.load_balancers if server.name != master)
    ec2 = scene.aws().client("ec2")
    public = next(iter(scene.stack.elastic()))
    found = ec2.describe_addresses(PublicIps=[public])["Addresses"][0]
    instances = {one["name"]: one["instance"] for one in scene.stack.daemon.ask("instances")["servers"]}
    scene.broke(f"{public} moved to {other}, which is backup")
    ec2.associate_address(AllocationId=found["AllocationId"], InstanceId=instances[other], AllowReassociation=True)
    scene.require("the backup had the address", lambda: scene.holder() == other, 5)
    scene.require("the address is at the master", lambda: scene.holder() == masters(scene)[0], SETTLED)
    scene.observe(3)


def processors_busy(scene: Scene) -> None:
    """Ten minutes without an idle processor on any host: nobody may take the address from a server that lives."""
    holder = scene.holder()
    others = [server.name for server in scene.stack.topology.load_balancers if server.name != holder]
    before = {name: promotions(scene, name) for name in others}
    scene.broke("all processors busy")
    with busy(scene.stack, BUSY + SETTLED):
        scene.observe(BUSY)
    scene.mark("processors idle")
    after = {name: promotions(scene, name) for name in others}
    if after != before or scene.holder() != holder:
        raise RehearsalError(f"false takeover: {holder} held the address and lived; promotions {before}, then {after}")
    scene.observe(3)


def promotions(scene: Scene, server: str) -> int:
    """How often a load balancer became VRRP master since it was switched on."""
    done = scene.stack.exec(server, "journalctl", "--boot", "--unit=tripod-floating-address", "--output=cat")
    return done.stdout.count("VRRP: MASTER")


def masters(scene: Scene) -> list[str]:
    """Load balancers that believe to be VRRP master."""
    found = []
    for server in scene.stack.topology.load_balancers:
        done = scene.stack.exec(server.name, "cat", "/run/tripod-address/status.json", check=False)
        if '"vrrp": "MASTER"' in done.stdout:
            found.append(server.name)
    return found


DRILLS = (
    Drill(
        "active-load-balancer-lost",
        "The host that holds the site's address loses power.",
        load_balancer_lost,
        Limits(write_gap=12.0, read_gap=4.0),
        weakness=single_load_balancer,
        controls=("vrrp",),
    ),
    Drill(
        "haproxy-killed",
        "HAProxy of the active load balancer is killed; systemd starts it again.",
        haproxy_killed,
        Limits(write_gap=4.0, read_gap=4.0),
        controls=("haproxy-restart",),
    ),
    Drill(
        "haproxy-hung",
        "HAProxy of the active load balancer accepts connections and answers nothing.",
        haproxy_hung,
        Limits(write_gap=8.0, read_gap=8.0),
        weakness=single_load_balancer,
        controls=("haproxy-tracking",),
    ),
    Drill(
        "haproxy-reloaded",
        f"HAProxy of the active load balancer is reloaded {RELOADS} times under load.",
        haproxy_reloaded,
        Limits(write_gap=1.0, read_gap=1.0, failed_reads=0, failed_writes=0),
        controls=("graceful-reload",),
    ),
    Drill(
        "vrrp-blocked",
        "The load balancers live but do not hear each other.",
        vrrp_blocked,
        Limits(write_gap=2.0, read_gap=2.0),
        obstacle=no_floating_address,
    ),
    Drill(
        "address-taken-away",
        "The Elastic IP is disassociated behind the stack's back.",
        address_taken_away,
        Limits(write_gap=6.0, read_gap=6.0),
        obstacle=no_floating_address,
        controls=("address-heal",),
    ),
    Drill(
        "address-at-the-wrong-server",
        "The Elastic IP is left at the backup, as after a short flap.",
        address_at_the_wrong_server,
        Limits(write_gap=2.0, read_gap=2.0),
        obstacle=no_floating_address,
        controls=("address-heal",),
    ),
    Drill(
        "processors-busy",
        f"No processor of any host is idle for {BUSY / 60:g} minutes: the address must stay.",
        processors_busy,
        # The client's own timeouts also run out where there is no time to answer.
        Limits(write_gap=10.0, read_gap=10.0),
        obstacle=no_floating_address,
    ),
)
