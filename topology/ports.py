"""Port and protocol numbers, each declared once.

Ports are TCP unless a flow says otherwise. Where a port is the upstream default the comment names the source.
"""

from __future__ import annotations

HTTP = 80
HTTPS = 443

# Listeners of a Network Load Balancer, by the names that its target groups and alarms have.
LISTENERS = {"http": HTTP, "https": HTTPS}

APP = 8080

# HAProxy's own /metrics and /healthz, on the server's private address only.
HAPROXY_METRICS = 8404

# HAProxy's health for the Network Load Balancer, whose checks begin with the PROXY protocol's header.
HAPROXY_HEALTH = 8405

# mysqld's `port` and Group Replication's `group_replication_local_address`; 33061 is the manual's example.
MYSQL = 3306
GROUP_REPLICATION = 33061
ROLE_CHECK = 3380

# Loopback listeners of HAProxy on application servers. mysqld itself binds the private address, so both fit
# on a server that has both roles.
DATABASE_WRITER = 3306
DATABASE_READER = 3307

# Defaults of the upstream projects (prometheus.io, "Default port allocations").
PROMETHEUS = 9090
ALERTMANAGER = 9093
ALERTMANAGER_CLUSTER = 9094
NODE_EXPORTER = 9100
MYSQLD_EXPORTER = 9104

# IANA protocol number of VRRP (RFC 9568); it has no ports.
VRRP = 112
