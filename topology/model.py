"""The topology of a stack: which server has which roles, in which zone, with which private address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from topology.instance_types import burstable
from topology.names import Edge, Log, Role


@dataclass(frozen=True)
class Subnet:
    """One subnet of the stack's VPC; there is one per zone."""

    name: str
    zone: str
    cidr: IPv4Network


@dataclass(frozen=True)
class Server:
    """One EC2 instance. Sizes are in GiB."""

    name: str
    roles: tuple[Role, ...]
    zone: str
    subnet: str
    address: IPv4Address
    instance_type: str
    root_volume_gib: int
    data_volume_gib: int

    def has(self, role: Role) -> bool:
        """Whether this server has `role`."""
        return role in self.roles

    @property
    def server_id(self) -> int:
        """MySQL's `server_id` (1 to 2**32-1): the private address as a number, unique in a VPC."""
        return int(self.address)

    @property
    def holds_data(self) -> bool:
        """Whether losing this server's data volume would lose data of the site."""
        return self.has(Role.DATABASE) or self.has(Role.READ_REPLICA)

    @property
    def burstable(self) -> bool:
        """Whether its type earns and spends CPU credits."""
        return burstable(self.instance_type)

    @property
    def logs(self) -> tuple[Log, ...]:
        """What this server sends to CloudWatch Logs."""
        found = {
            Log.HAPROXY: self.has(Role.LOAD_BALANCER) or self.has(Role.APP),
            Log.MYSQL: self.holds_data,
            Log.APPLICATION: self.has(Role.APP),
        }
        return (*(log for log, there in found.items() if there), Log.AUDIT, Log.TRIPOD)


@dataclass(frozen=True)
class Tls:
    """Where the HTTPS certificate comes from: `self-signed` (the stack's CA) or `provided` (SSM parameters)."""

    mode: str = "self-signed"
    certificate_parameter: str | None = None
    key_parameter: str | None = None


@dataclass(frozen=True)
class Application:
    """A stack's own application. `artifact` is the s3:// or https:// URL of a .tar.gz.

    `sha256` pins the artifact (64 hex digits). `start` is the command line, run in the unpacked artifact.
    `port` is where it listens; `health` the path that answers 200 while it can serve. `secrets` maps names, such as
    MAIL_PASSWORD, to the full names of the SSM parameters that hold them.
    """

    artifact: str
    sha256: str
    start: str
    port: int
    health: str
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backup:
    """When the nightly backup starts (hour of the day, UTC) and how many days it is kept.

    `drill_day` is the weekday of the restore drill ("Sun", as systemd writes it). `snapshots` counts the daily EBS
    snapshots that are kept of each data volume, 0 for none. `object_lock_days` is for how long nobody can delete an
    object of the bucket of backups, 0 for no lock.
    """

    hour: int = 2
    keep_days: int = 35
    drill_day: str = "Sun"
    snapshots: int = 7
    object_lock_days: int = 0


@dataclass(frozen=True)
class Alerts:
    """What is sent to the alerts topic: the least severity (`warning` or `critical`), and how often again (hours)."""

    minimum_severity: str = "warning"
    repeat_hours: int = 4


@dataclass(frozen=True)
class Topology:
    """A whole stack. Built by :func:`topology.settings.build_topology`, which has checked it."""

    stack: str
    region: str
    network_cidr: IPv4Network
    subnets: tuple[Subnet, ...]
    servers: tuple[Server, ...]
    edge: Edge
    preferred_primary: str
    domain: str | None = None
    hosted_zone_id: str | None = None
    tls: Tls = field(default_factory=Tls)
    backup: Backup = field(default_factory=Backup)
    application: Application | None = None
    alerts: Alerts = field(default_factory=Alerts)
    alerts_topic_arn: str | None = None
    """Where Alertmanager sends; None where the AWS account is not known (it tells nobody then)."""
    image: str | None = None
    architecture: str = "x86_64"
    tags: Mapping[str, str] = field(default_factory=dict)
    replica_lag_seconds: int = 30
    """Age, in seconds, that a read replica's data may have before nobody is sent there."""

    def server(self, name: str) -> Server:
        """The server called `name`; KeyError when there is none."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    def with_role(self, role: Role) -> tuple[Server, ...]:
        """Servers that have `role`, in the order of the stack."""
        return tuple(server for server in self.servers if server.has(role))

    def subnet(self, name: str) -> Subnet:
        """The subnet called `name`; KeyError when there is none."""
        for subnet in self.subnets:
            if subnet.name == name:
                return subnet
        raise KeyError(name)

    @property
    def load_balancers(self) -> tuple[Server, ...]:
        """Servers that face the world."""
        return self.with_role(Role.LOAD_BALANCER)

    @property
    def apps(self) -> tuple[Server, ...]:
        """Servers that run the application."""
        return self.with_role(Role.APP)

    @property
    def databases(self) -> tuple[Server, ...]:
        """Members of the MySQL group."""
        return self.with_role(Role.DATABASE)

    @property
    def read_replicas(self) -> tuple[Server, ...]:
        """Servers that follow the group asynchronously."""
        return self.with_role(Role.READ_REPLICA)

    @property
    def monitors(self) -> tuple[Server, ...]:
        """Servers that run Prometheus."""
        return self.with_role(Role.MONITORING)

    @property
    def majority(self) -> int:
        """How many members of the group make a majority of those configured."""
        return len(self.databases) // 2 + 1
