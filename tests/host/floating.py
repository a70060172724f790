"""Load balancers in memory: their daemons, what keepalived says to them, and an Elastic IP with its faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from userdata.host.elastic_ip import ElasticIp, Location
from userdata.host.floating_address import Facts, FloatingAddress
from userdata.host.floating_address_decision import Vrrp
from userdata.host.floating_address_status import Status

A, B, C = "10.20.0.10", "10.20.16.11", "10.20.32.12"
STRANGER = "10.20.99.99"
NAMES = {A: "server-1", B: "server-2", C: "server-3"}
TAGS = {"tripod:stack": "staging", "Name": "tripod-staging"}
TAG_LIST = [{"Key": key, "Value": value} for key, value in TAGS.items()]
REGION = "eu-central-1"
IDS = {A: "i-a", B: "i-b", C: "i-c"}
M, S = Vrrp.MASTER, Vrrp.BACKUP


def facts(address, runtime=Path("/run/tripod-address"), servers=(A, B)):
    balancers = tuple((NAMES[one], one) for one in servers)
    return Facts(REGION, NAMES[address], address, TAGS, balancers, 8404, "floating_address", 40, runtime)


@dataclass
class Cloud:
    """Two load balancers, a stranger and the address, in moto."""

    ec2: object
    ids: dict[str, str]
    allocation: str

    def elastic_ip(self, address):
        return ElasticIp(TAGS, REGION, self.ec2, lambda: self.ids[address])

    def where(self):
        return self.ec2.describe_addresses(AllocationIds=[self.allocation])["Addresses"][0].get("InstanceId") or None

    def associate(self, instance):
        self.ec2.associate_address(AllocationId=self.allocation, InstanceId=instance, AllowReassociation=True)


@dataclass
class Words:
    """Stands for keepalived: what is said is read by the next turn."""

    state: Vrrp = Vrrp.UNKNOWN
    said: list[str] = field(default_factory=list)

    def say(self, *words):
        for word in words:
            self.said.append(word)
            self.state = {"MASTER": M, "BACKUP": S, "FAULT": Vrrp.FAULT, "STOP": Vrrp.STOPPED}.get(word, self.state)

    def read(self):
        words, self.said = self.said, []
        return words

    def wait(self, seconds):
        pass


@dataclass
class Number:
    value: int = 0

    def read(self):
        return self.value

    def write(self, value):
        self.value = value


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self):
        return self.now


@dataclass
class Server:
    """One daemon, its keepalived and its clock."""

    clock: Clock
    daemon: FloatingAddress
    words: Words
    holder: Number
    statuses: list[Status]
    due: float = 0.0

    @classmethod
    def of(cls, address, elastic_ip, clock, **options):
        words, holder, statuses = Words(), Number(), []
        servers = options.pop("servers", (A, B))
        options.setdefault("peer_serves", lambda *_: True)
        daemon = FloatingAddress(
            facts(address, servers=servers), elastic_ip, words, holder, clock=clock, jitter=lambda: 1.0,
            say=statuses.append, **options,
        )  # fmt: skip
        return cls(clock, daemon, words, holder, statuses)

    def hear(self, *words):
        self.words.say(*words)
        self.due = self.clock.now

    def become_master(self):
        self.hear("BACKUP")
        self.turn()
        self.hear("MASTER")

    def turn(self):
        if self.clock.now >= self.due:
            self.due = self.clock.now + self.daemon.turn()

    def run(self, seconds, step=0.05):
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.turn()
            self.clock.now += step

    @property
    def status(self):
        return self.statuses[-1]


class Broken:
    """EC2 with a fault. `moves` counts associations."""

    def __init__(self, error=None, location=None):
        self.error, self.location, self.calls, self.refuses = error, location, [], None

    def look(self):
        self.calls.append("look")
        if self.error:
            raise self.error
        return self.location

    def take(self):
        self.calls.append("take")
        if self.error or self.refuses:
            raise self.error or self.refuses
        self.location = Location("203.0.113.10", "eipalloc-1", A, "i-a")

    def is_mine(self, location):
        return location.instance_id == "i-a"


class SharedEc2:
    """One address for several servers; what is shown is `stale` seconds old."""

    def __init__(self, stale=0.0, clock=None):
        self.holder, self.takes, self.stale, self.clock = None, [], stale, clock
        self.shown = [(float("-inf"), None)]

    def of(self, address):
        outer = self

        class One(Broken):
            def look(self):
                until = outer.clock.now - outer.stale
                at = [holder for when, holder in outer.shown if when <= until][-1]
                return Location("203.0.113.10", "eipalloc-1", at, IDS[at] if at else None)

            def take(self):
                outer.takes.append(address)
                outer.holder = address
                outer.shown.append((outer.clock.now, address))

            def is_mine(self, location):
                return location.instance_id == IDS[address]

        return One()
