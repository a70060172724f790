"""Every name that two parts of Tripod must agree on: roles, tag keys, parameters, bucket and object keys."""

from __future__ import annotations

import re
from enum import StrEnum

PROJECT = "tripod"

PARAMETER_NAME = re.compile(r"^/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
"""The full name of a parameter of the user's own (SSM API reference, PutParameter; levels begin with a slash)."""

TAG_STACK = "tripod:stack"
TAG_SERVER = "tripod:server"
TAG_ROLES = "tripod:roles"
TAG_DATA = "tripod:data"
"""On data volumes and their snapshots only: the stack's name. Amazon Data Lifecycle Manager finds them by it."""


class Role(StrEnum):
    """What a server does. A server has one or more roles."""

    LOAD_BALANCER = "load_balancer"
    """HAProxy, faces the world on 80 and 443."""
    APP = "app"
    """The application behind the load balancers, with local listeners to the database."""
    DATABASE = "database"
    """A member of the MySQL group: primary or replica, as the group elects."""
    READ_REPLICA = "read_replica"
    """A MySQL server that follows the group asynchronously and never votes."""
    MONITORING = "monitoring"
    """Prometheus and Alertmanager."""


class Edge(StrEnum):
    """How the world reaches the load balancers."""

    EIP = "eip"
    """One Elastic IP, associated with the only load balancer by Pulumi."""
    FLOATING_EIP = "floating-eip"
    """One Elastic IP that moves: keepalived decides, the EC2 API acts; Pulumi never owns the association."""
    NLB = "nlb"
    """A Network Load Balancer with proxy protocol v2 in front of all load balancers."""
    DNS = "dns"
    """One Elastic IP per load balancer and Route 53 health-checked records."""


class Account(StrEnum):
    """MySQL accounts, one per purpose (least privilege)."""

    APP_WRITER = "app_writer"
    APP_READER = "app_reader"
    REPLICATION = "replication"
    MONITORING = "monitoring"
    BACKUP = "backup"


class Log(StrEnum):
    """What is kept in CloudWatch Logs, one log group each."""

    HAPROXY = "haproxy"
    """Requests, and servers that come and go."""
    MYSQL = "mysql"
    """MySQL's error log."""
    APPLICATION = "application"
    """What the application writes to its output."""
    AUDIT = "audit"
    """What each apply of a bundle changed on a server."""
    TRIPOD = "tripod"
    """What Tripod's own programs on a server decide and do."""


def parameter_prefix(stack: str) -> str:
    """Path under which every SSM parameter of a stack lives, without a trailing slash."""
    return f"/{PROJECT}/{stack}"


def password_parameter(stack: str, account: Account) -> str:
    """SecureString with the password of one MySQL account."""
    return f"{parameter_prefix(stack)}/mysql/{account.value}/password"


def ca_certificate_parameter(stack: str) -> str:
    """String: the stack's own CA certificate, PEM."""
    return f"{parameter_prefix(stack)}/tls/ca.pem"


def server_certificate_parameter(stack: str, server: str) -> str:
    """String: the certificate of one server for traffic inside the stack, PEM."""
    return f"{parameter_prefix(stack)}/tls/servers/{server}/cert.pem"


def server_key_parameter(stack: str, server: str) -> str:
    """SecureString: the private key that belongs to :func:`server_certificate_parameter`, PEM."""
    return f"{parameter_prefix(stack)}/tls/servers/{server}/key.pem"


def site_certificate_parameter(stack: str) -> str:
    """String: the HTTPS certificate of the site in TLS mode `self-signed`, PEM."""
    return f"{parameter_prefix(stack)}/tls/site/cert.pem"


def site_key_parameter(stack: str) -> str:
    """SecureString: the private key of the HTTPS certificate in TLS mode `self-signed`, PEM."""
    return f"{parameter_prefix(stack)}/tls/site/key.pem"


def group_parameters(stack: str) -> str:
    """Path of the group's own parameters: the token, and a claim for each time that somebody led the group.

    Each is created once, by a server, and never changed.
    """
    return f"{parameter_prefix(stack)}/group"


def group_token_parameter(stack: str) -> str:
    """The one-shot token: whoever creates it (PutParameter without Overwrite) may bootstrap the group.

    Written by a server, never by Pulumi, and it outlives `pulumi destroy`, as the data volumes do.
    """
    return f"{group_parameters(stack)}/initialised"


def server_state_parameter(stack: str, server: str) -> str:
    """String, JSON, written by the server itself: {"step", "ok", "digest", "error", "at"}."""
    return f"{parameter_prefix(stack)}/servers/{server}/state"


def bucket(stack: str, account_id: str, region: str) -> str:
    """Name of the stack's bucket. S3 allows 63 characters; settings keep a stack's name short enough."""
    return f"{PROJECT}-{stack}-{account_id}-{region}"


def backup_bucket(stack: str, account_id: str, region: str) -> str:
    """Name of the bucket of backups and binary logs (at most 63 characters, as :func:`bucket`)."""
    return f"{PROJECT}-{stack}-bk-{account_id}-{region}"


def manifest_key(server: str) -> str:
    """Object key of a server's manifest."""
    return f"servers/{server}/manifest.json"


def file_key(server: str, path: str) -> str:
    """Object key of one configuration file; `path` is the absolute path on the server."""
    return f"servers/{server}/files/{path.lstrip('/')}"


def alerts_topic(stack: str) -> str:
    """Name of the SNS topic that carries the alerts of a stack."""
    return f"{PROJECT}-{stack}-alerts"


HEARTBEAT_METRIC = "MonitoringHeartbeat"
"""CloudWatch metric of the dead man's switch: 1 a minute while Prometheus and Alertmanager of the stack work."""


def metrics_namespace(stack: str) -> str:
    """CloudWatch namespace of a stack's own metrics."""
    return f"Tripod/{stack}"


def alarm(stack: str, subject: str, symptom: str) -> str:
    """Name of a CloudWatch alarm: `subject` is a server or a part of the stack, `symptom` what is wrong with it."""
    return f"{PROJECT}-{stack}-{subject}-{symptom}"


def log_group(stack: str, log: Log) -> str:
    """Name of a CloudWatch log group. It has one log stream for each server, of the server's name."""
    return f"/{PROJECT}/{stack}/{log.value}"


def dashboard(stack: str) -> str:
    """Name of a stack's CloudWatch dashboard."""
    return f"{PROJECT}-{stack}"
