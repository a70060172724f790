"""The instance metadata service, asked as hosts ask it."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from rehearsal import forward
from rehearsal.metadata import TOKEN_HEADER, TTL_HEADER, Metadata
from rehearsal.view import Instance

HOST = Instance(
    id="i-0123456789abcdef0",
    state="running",
    address="127.0.0.11",
    subnet_cidr="127.0.0.0/24",
    zone="eu-central-1b",
    region="eu-central-1",
    image="ami-1",
    type="t3.medium",
    mac="02:00:00:00:00:01",
    interface="eni-1",
    subnet="subnet-1",
    vpc="vpc-1",
    vpc_cidr="127.0.0.0/8",
    groups=("sg-1",),
    user_data=b"#cloud-config\n",
    role="server-1-role",
    profile_arn="arn:aws:iam::123456789012:instance-profile/p",
    tokens_required=True,
    metadata_enabled=True,
    hop_limit=1,
    tags={"tripod:server": "server-1"},
    tags_in_metadata=False,
    launched="2026-01-01T00:00:00",
)


@pytest.fixture
def service():
    hosts = {HOST.address: (HOST, "203.0.113.10"), "127.0.0.12": (HOST, None)}
    listener = forward.listen(0)
    metadata = Metadata(hosts.get)
    metadata.serve(listener)
    yield listener.getsockname()[1]
    metadata.close()


def ask(port, path, method="GET", source=HOST.address, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5, source_address=(source, 0))
    connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    ttl = connection.sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) if connection.sock else None
    body = answer.read().decode()
    connection.close()
    assert ttl is None or ttl > 1, "only the service's own side is limited"
    return answer.status, body


def token(port, source=HOST.address):
    status, value = ask(port, "/latest/api/token", "PUT", source, **{TTL_HEADER: "60"})
    assert status == 200
    return value


def get(port, path, source=HOST.address):
    return ask(port, path, source=source, **{TOKEN_HEADER: token(port, source)})


def test_without_a_token_nothing_is_told(service):
    assert ask(service, "/latest/meta-data/instance-id")[0] == 401
    assert ask(service, "/latest/meta-data/instance-id", **{TOKEN_HEADER: "made-up"})[0] == 401


def test_a_token_is_one_hosts_own(service):
    other = token(service, "127.0.0.12")
    assert ask(service, "/latest/meta-data/instance-id", **{TOKEN_HEADER: other})[0] == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "soon"])
def test_a_token_needs_a_lifetime(service, ttl):
    assert ask(service, "/latest/api/token", "PUT", **{TTL_HEADER: ttl})[0] == 400


def test_a_proxy_gets_no_token(service):
    headers = {TTL_HEADER: "60", "X-Forwarded-For": "10.0.0.1"}
    assert ask(service, "/latest/api/token", "PUT", **headers)[0] == 403


def test_a_stranger_is_not_answered(service):
    assert ask(service, "/latest/meta-data/", source="127.0.0.99")[0] == 404


def test_what_cloud_init_and_the_sdk_ask_for(service):
    assert get(service, "/2009-04-04/meta-data/instance-id") == (200, HOST.id)
    listing = get(service, "/2021-03-23/meta-data/")[1].split("\n")
    assert {"local-ipv4", "placement/", "network/", "iam/"} <= set(listing)
    assert get(service, "/latest/meta-data/placement/availability-zone")[1] == "eu-central-1b"
    macs = "/latest/meta-data/network/interfaces/macs/"
    assert get(service, macs)[1] == f"{HOST.mac}/"
    assert get(service, f"{macs}{HOST.mac}/local-ipv4s")[1] == HOST.address
    assert get(service, "/latest/user-data")[1] == "#cloud-config\n"
    document = json.loads(get(service, "/latest/dynamic/instance-identity/document")[1])
    assert (document["region"], document["instanceId"]) == ("eu-central-1", HOST.id)


def test_the_roles_credentials(service):
    assert get(service, "/latest/meta-data/iam/security-credentials/")[1] == HOST.role
    answer = json.loads(get(service, f"/latest/meta-data/iam/security-credentials/{HOST.role}")[1])
    assert answer["Code"] == "Success"
    assert answer["AccessKeyId"].startswith("ASIA")
    assert get(service, "/latest/meta-data/iam/security-credentials/other")[0] == 404


def test_only_a_host_with_a_public_address_has_one(service):
    assert get(service, "/latest/meta-data/public-ipv4") == (200, "203.0.113.10")
    assert get(service, "/latest/meta-data/public-ipv4", "127.0.0.12")[0] == 404


def test_tags_stay_hidden_unless_asked_for(service):
    assert get(service, "/latest/meta-data/tags/instance/tripod:server")[0] == 404
