"""Paths on the servers that several services agree on."""

from __future__ import annotations

LIBRARY = "/usr/local/lib/tripod"
PROGRAMS = f"{LIBRARY}/host"
COMMAND = "/usr/local/sbin/tripod"
IDENTITY = "/etc/tripod/server.json"
HOST_FACTS = "/etc/tripod/host.json"
SECRETS = "/etc/tripod/secrets"
CA_FILE = "/etc/tripod/tls/ca.pem"
SITE_TLS = "/etc/tripod/tls/site"
APPLICATION = "/opt/tripod/app"
SYSTEMD = "/etc/systemd/system"
