"""A stack's network on this machine: the VPC as one router in a namespace, and the world outside it."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rehearsal import namespace
from rehearsal.delay_line import DelayLine
from rehearsal.firewall_rules import ELASTIC_CIDR, Block, FabricState, Faults, HostRules, render
from rehearsal.paths import STATE_ROOT, StackPaths
from rehearsal.router import HOST_LINK, VPC_MTU, router_commands, world_commands
from rehearsal.shell import RehearsalError, run

_ROUTING = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
}
_NO_IPV6 = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}


class Fabric:
    """The network of one stack: a router namespace, a namespace per host, a namespace for the world.

    Every host hangs on its own routed link and the router answers ARP for the rest (proxy ARP): as in a VPC there is
    no multicast, gratuitous ARP moves nothing, and every packet passes the security groups. There is no way out of
    these namespaces: this machine's own network is not touched. All methods may be called from any thread.
    """

    def __init__(self, stack: str, network_cidr: str = "10.0.0.0/8", *, state_root: Path = STATE_ROOT) -> None:
        self.paths = StackPaths(stack, state_root)
        self.network = ipaddress.IPv4Network(network_cidr)
        self.router = self.paths.object_name("fabric")
        self.world = self.paths.object_name("world")
        self._lock = threading.RLock()
        self._addresses: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._rules: dict[str, HostRules] = {}
        self._elastic: dict[str, str] = {}
        self._faults = Faults()
        self._late: dict[str, list[DelayLine]] = {}

    # -- the fabric itself

    def up(self) -> None:
        """Make the router and the world. Raises RehearsalError when another owner's are still there."""
        with self._lock:
            for name in ("fabric", "world"):
                namespace.create(self.paths.claim(name))
            namespace.sysctl(self.router, {**_ROUTING, **_NO_IPV6})
            namespace.sysctl(self.world, {**_ROUTING, "net.ipv4.ip_nonlocal_bind": 1})
            self._apply()
            self._ip(self.router, *router_commands(self.network, self.world))
            self._ip(self.world, *world_commands())

    def down(self) -> None:
        """Remove every namespace of the fabric. No error when they are gone."""
        with self._lock:
            for host in list(self._addresses):
                self.forget(host)
            namespace.delete(self.world)
            namespace.delete(self.router)

    def host_namespace(self, host: str) -> str:
        """Name of a host's namespace, which exists while the host is plugged in."""
        return self.paths.object_name(host)

    # -- hosts

    def plug(self, host: str, address: str, subnet_cidr: str) -> str:
        """Make a host's namespace with its link (interface `ens5`, the private address, a default route).

        Returns the namespace's name. The subnet's first address is the router's, as in every AWS subnet. A host that
        is no server (the nodes of a load balancer service) is plugged in the same way and used with listen/connect.
        """
        subnet = ipaddress.IPv4Network(subnet_cidr)
        gateway = str(subnet.network_address + 1)
        if host in {"fabric", "world", "void", "void-end", "lo"}:
            raise ValueError(f"{host!r} is a name of the fabric's own")
        if ipaddress.IPv4Address(address) not in subnet:
            raise ValueError(f"address {address} of {host} is not in its subnet {subnet_cidr}")
        with self._lock:
            name = self.paths.claim(host)
            link = self._link(host)
            namespace.create(name)
            self._addresses[host] = address
            self._links[link] = address
            self._apply()  # before a packet can arrive
            self._ip(
                self.router,
                f"addr replace {gateway}/32 dev lo",
                f"link add name {link} mtu {VPC_MTU} type veth peer name {HOST_LINK} netns {name}",
            )
            namespace.sysctl(self.router, {f"net.ipv4.conf.{link}.proxy_arp": 1})
            # the kernel delays proxied answers at random, up to 0.8 s
            namespace.within(self.router, lambda: Path(f"/proc/sys/net/ipv4/neigh/{link}/proxy_delay").write_text("0"))
            self._ip(
                name,
                f"addr add {address}/{subnet.prefixlen} dev {HOST_LINK}",
                f"link set dev {HOST_LINK} mtu {VPC_MTU} up",
                f"route add default via {gateway} dev {HOST_LINK}",
            )
            self._ip(self.router, f"link set dev {link} up", f"route add {address}/32 dev {link}")
            return name

    def unplug(self, host: str) -> None:
        """Take a host's link and namespace away at once: what it still wanted to send is lost, as in a power cut.

        Its address keeps answering ARP and its packets vanish; its rules stay for the next plug(). No error when the
        host is not plugged in.
        """
        with self._lock:
            name = self.host_namespace(host)
            self._punctual(host)
            if namespace.exists(name):
                link = self._link(host)
                if self._has_link(link):
                    self._ip(self.router, f"link delete dev {link}")
                namespace.delete(name)

    def forget(self, host: str) -> None:
        """Unplug a host for good: its rules and faults go too."""
        with self._lock:
            self.unplug(host)
            address = self._addresses.pop(host, None)
            self._links.pop(self._link(host), None)
            if address is not None:
                self._rules.pop(address, None)
                self._faults = replace(
                    self._faults,
                    isolated=self._faults.isolated - {address},
                    blocks=frozenset(b for b in self._faults.blocks if address not in {b.source, b.destination}),
                    loss={key: share for key, share in self._faults.loss.items() if key != address},
                )
            if namespace.exists(self.router):
                self._apply()

    # -- what may pass

    def set_rules(self, rules: Mapping[str, HostRules]) -> None:
        """Replace the security rules of all hosts at once (host name -> what its groups permit together).

        A host that is not named may neither send nor receive. Established connections go on, as AWS's do.
        Hosts need not be plugged in yet, but their addresses must be known: see reserve().
        """
        with self._lock:
            self._rules = {self.address(host): permitted for host, permitted in rules.items()}
            self._apply()

    def reserve(self, host: str, address: str) -> None:
        """Make a host's address known before it is plugged in."""
        with self._lock:
            self._addresses[host] = address
            self._links[self._link(host)] = address

    def set_elastic_ips(self, addresses: Mapping[str, str]) -> None:
        """Replace all associations: public address (of 203.0.113.0/24) -> private address."""
        for public in addresses:
            if ipaddress.IPv4Address(public) not in ipaddress.IPv4Network(ELASTIC_CIDR):
                raise ValueError(f"Elastic IP {public} is not in {ELASTIC_CIDR}")
        with self._lock:
            self._elastic = dict(addresses)
            self._apply()

    def address(self, host: str) -> str:
        """Private address of a host that was plugged in or reserved."""
        try:
            return self._addresses[host]
        except KeyError:
            raise RehearsalError(f"the fabric of {self.paths.stack} knows no host {host!r}") from None

    # -- faults

    def cut(self, host: str) -> None:
        """Cut the cable of a host: nothing passes in either direction, its processes run on."""
        with self._lock:
            self._set_faults(replace(self._faults, isolated=self._faults.isolated | {self.address(host)}))

    def block(self, source: str, destination: str, protocol: str = "all", *, both_ways: bool = True) -> None:
        """Drop one protocol (as in Rule) between two hosts, established connections included."""
        with self._lock:
            a, b = self.address(source), self.address(destination)
            blocks = {Block(a, b, protocol)} | ({Block(b, a, protocol)} if both_ways else set())
            self._set_faults(replace(self._faults, blocks=self._faults.blocks | blocks))

    def netem(self, host: str, *, loss: float = 0.0, delay: float = 0.0) -> None:
        """Lose a share of packets (0 to 1) and delay all others (seconds), each way, between a host and the rest.

        As tc-netem(8) does, but by nftables and a DelayLine at either end of the host's link. Raises RehearsalError
        where the kernel cannot. A delay ends when the host is unplugged.
        """
        if not 0 <= loss < 1 or delay < 0:
            raise ValueError("loss is a share from 0 to below 1, delay is not negative")
        with self._lock:
            self._set_faults(replace(self._faults, loss={**self._faults.loss, self.address(host): loss}))
            self._punctual(host)
            if not delay:
                return
            ends = ((self.host_namespace(host), HOST_LINK), (self.router, self._link(host)))
            try:
                for name, link in ends:
                    self._late.setdefault(host, []).append(DelayLine(name, link, delay))
            except (OSError, RehearsalError) as error:
                self._punctual(host)
                raise RehearsalError(f"this machine's kernel cannot delay packets: {error}") from error

    def _punctual(self, host: str) -> None:
        for line in self._late.pop(host, []):
            line.close()

    def heal(self, host: str | None = None) -> None:
        """End every fault of a host, or of all hosts."""
        with self._lock:
            hosts = list(self._addresses) if host is None else [host]
            for each in hosts:
                if namespace.exists(self.host_namespace(each)):
                    self.netem(each)
                gone = self.address(each)
                self._faults = Faults(
                    self._faults.isolated - {gone},
                    frozenset(b for b in self._faults.blocks if gone not in {b.source, b.destination}),
                    {key: share for key, share in self._faults.loss.items() if key != gone},
                )
            self._apply()

    def severed(self) -> set[str]:
        """Hosts whose cable is cut."""
        with self._lock:
            return {host for host, address in self._addresses.items() if address in self._faults.isolated}

    # -- sockets

    def listen(self, place: str, address: str, port: int) -> socket.socket:
        """A TCP socket that listens in `place`: a host's name, `fabric` or `world`."""
        return namespace.listen(self.paths.object_name(place), address, port)

    def connect(
        self, place: str, address: str, port: int, *, timeout: float = 10, source: str | None = None
    ) -> socket.socket:
        """A TCP connection from `place`: a host's name, `fabric` or `world`.

        In the world `source` may be any address of 198.51.100.128/25 (many clients).
        """
        return namespace.connect(self.paths.object_name(place), address, port, timeout=timeout, source=source)

    # -- inside

    def _set_faults(self, faults: Faults) -> None:
        self._faults = faults
        self._apply()

    def _apply(self) -> None:
        text = render(FabricState(self._links, self._rules, self._elastic, self._faults))
        run(["ip", "netns", "exec", self.router, "nft", "-f", "-"], stdin=text)

    def _link(self, host: str) -> str:
        """Interface of the router that leads to a host: its name, as far as 15 characters allow."""
        if len(host) <= 15:
            return host
        return f"{host[:8]}-{hashlib.sha256(host.encode()).hexdigest()[:6]}"

    def _has_link(self, link: str) -> bool:
        return run(["ip", "-n", self.router, "link", "show", "dev", link], check=False).ok

    def _ip(self, name: str, *lines: str) -> None:
        run(["ip", "-n", name, "-batch", "-"], stdin="\n".join(lines) + "\n")
