"""A corpus of configurations that cannot work: each is refused with its key, what was found and the mend."""

from __future__ import annotations

import pytest

from topology.build import build_topology
from topology.problems import ConfigurationError
from topology.settings import Settings

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
LB, APP, DB = "load_balancer", "app", "database"


def servers(*entries: dict[str, object]) -> list[dict[str, object]]:
    return list(entries)


def server(name: str, *roles: str, **more: object) -> dict[str, object]:
    return {"name": name, "roles": list(roles), **more}


def subscribed(protocol: str, endpoint: str) -> dict[str, object]:
    return {"alerts": {"subscriptions": [{"protocol": protocol, "endpoint": endpoint}]}}


ALL = server("all-1", LB, APP, DB)
APPLICATION = {
    "artifact": "s3://example/site-1.2.tar.gz",
    "sha256": "0" * 64,
    "start": "bin/serve",
    "port": 9000,
    "health": "/up",
}

# name: (configuration, key that must be named, words of the mend)
CORPUS: dict[str, tuple[dict[str, object], str, str]] = {
    "unknown key": ({"instancetype": "t3.large"}, "instancetype", "Did you mean 'instanceType'"),
    "unknown key without likeness": ({"colour": "red"}, "colour", "Known keys here"),
    "unknown key of a server": ({"servers": servers({**ALL, "adress": "10.20.0.9"})}, "servers[0].adress", "'address'"),
    "unknown key of tls": ({"tls": {"Mode": "provided"}}, "tls.Mode", "'mode'"),
    "unknown key of application": ({"application": {**APPLICATION, "ports": 1}}, "application.ports", "'port'"),
    "unknown preset": ({"preset": "triple"}, "preset", "reference, active-passive, active-active"),
    "unknown role": ({"servers": servers(server("a-1", LB, APP, DB, "web"))}, "servers[0].roles[3]", "'load_balancer'"),
    "unknown edge": ({"edge": "cdn"}, "edge", "'floating-eip'"),
    "unknown severity": ({"alerts": {"minimumSeverity": "loud"}}, "alerts.minimumSeverity", "'warning' or 'critical'"),
    "unknown key of alerts": ({"alerts": {"repeat": 4}}, "alerts.repeat", "'repeatHours'"),
    "alerts that come again too seldom": ({"alerts": {"repeatHours": 999}}, "alerts.repeatHours", "at most 168"),
    "days for which no log group can keep logs": ({"logRetentionDays": 31}, "logRetentionDays", "30, 60, 90"),
    "logs that are kept for ever": ({"logRetentionDays": 0}, "logRetentionDays", "1, 3, 5"),
    "days as text": ({"logRetentionDays": "a month"}, "logRetentionDays", "whole number"),
    "unknown tls mode": ({"tls": {"mode": "acme"}}, "tls.mode", "'self-signed' or 'provided'"),
    "text for a number": ({"dataVolumeGib": "twenty"}, "dataVolumeGib", "whole number"),
    "a number with a unit": ({"dataVolumeGib": "20GB"}, "dataVolumeGib", "whole number"),
    "a fraction": ({"rootVolumeGib": 16.5}, "rootVolumeGib", "whole number"),
    "a number for text": ({"domain": 42}, "domain", "in quotes"),
    "text for yes or no": ({"verify": "perhaps"}, "verify", "true or false"),
    "text for a list": ({"zones": "eu-west-1a"}, "zones", "list"),
    "text for an object": ({"tls": "provided"}, "tls", "'key: value'"),
    "broken JSON": ({"zones": '["eu-west-1a"'}, "zones", "list"),
    "a list for servers' roles": ({"servers": servers({"name": "a-1", "roles": "app"})}, "servers[0].roles", "list"),
    "a volume too small": ({"dataVolumeGib": 1}, "dataVolumeGib", "at least 8"),
    "a volume too large": ({"dataVolumeGib": 99999}, "dataVolumeGib", "at most 16384"),
    "a server's volume too small": (
        {"servers": servers({**ALL, "dataVolumeGib": 1})},
        "servers[0].dataVolumeGib",
        "8 to",
    ),
    "a backup at no hour": ({"backup": {"hour": 24}}, "backup.hour", "at most 23"),
    "backups that go at once": ({"backup": {"keepDays": 1}}, "backup.keepDays", "at least 2"),
    "a drill on no day": ({"backup": {"drillDay": "Sunday"}}, "backup.drillDay", "'Sun'"),
    "less than no snapshot": ({"backup": {"snapshots": -1}}, "backup.snapshots", "at least 0"),
    "a lock beyond the end": ({"backup": {"objectLockDays": 36}}, "backup.objectLockDays", "Use 0 to 35"),
    "unknown key of backup": ({"backup": {"keepdays": 7}}, "backup.keepdays", "'keepDays'"),
    "no time to verify": ({"verifyTimeoutMinutes": 0}, "verifyTimeoutMinutes", "at least 1"),
    "a server without a name": ({"servers": servers({"roles": [LB, APP, DB]})}, "servers[0].name", "Add it"),
    "a server without roles": ({"servers": servers(ALL, server("idle-2"))}, "servers[1].roles", "at least one"),
    "a role twice": ({"servers": servers(server("a-1", LB, APP, DB, APP))}, "servers[0].roles", "once"),
    "no database server": ({"servers": servers(server("a-1", LB, APP))}, "servers", "'database'"),
    "no load balancer": ({"servers": servers(server("a-1", APP, DB))}, "servers", "'load_balancer'"),
    "no application server": ({"servers": servers(server("a-1", LB, DB))}, "servers", "'app'"),
    "an even quorum": ({"servers": servers(ALL, server("b-2", DB))}, "servers", "Use 1 or 3"),
    "a group too large": (
        {"servers": servers(ALL, *(server(f"d-{n}", DB) for n in range(2, 12)))},
        "servers",
        "'read_replica'",
    ),
    "member and follower at once": (
        {"servers": servers(ALL, server("r-2", "database", "read_replica"))},
        "servers[1].roles",
        "one or the other",
    ),
    "two servers of one name": ({"servers": servers(ALL, server("all-1", APP))}, "servers", "its own name"),
    "a name no host can have": ({"servers": servers(server("Web_1", LB, APP, DB))}, "servers[0].name", "a-z"),
    "a name too long": ({"servers": servers(server("a" * 30 + "-1", LB, APP, DB))}, "servers[0].name", "1 to 20"),
    "a name without number or zone": (
        {"servers": servers(server("web", LB, APP, DB))},
        "servers[0].zone",
        "eu-west-1a",
    ),
    "overlapping addresses": (
        {"servers": servers(ALL, server("web-1", APP))},
        "servers[1].address",
        "another number at the end of its name",
    ),
    "the same address twice": (
        {"servers": servers({**ALL, "address": "10.20.0.50"}, server("b-4", APP, address="10.20.0.50"))},
        "servers[1].address",
        "'address' of its own",
    ),
    "an address outside the subnet": (
        {"servers": servers({**ALL, "address": "10.99.0.5"})},
        "servers[0].address",
        "10.20.0.4",
    ),
    "an address that AWS reserves": (
        {"servers": servers({**ALL, "address": "10.20.0.1"})},
        "servers[0].address",
        "10.20.0.4",
    ),
    "not an address": ({"servers": servers({**ALL, "address": "server-one"})}, "servers[0].address", "free address"),
    "a number too large for the subnet": (
        {"servers": servers(server("a-99999", LB, APP, DB))},
        "servers[0].name",
        "smaller",
    ),
    "a zone that does not exist": ({"zones": ["eu-west-1a", "eu-west-1q"]}, "zones[1]", "eu-west-1c"),
    "a zone of another region": ({"zones": ["us-east-1a"]}, "zones[0]", "eu-west-1a"),
    "a zone twice": ({"zones": ["eu-west-1a", "eu-west-1a"]}, "zones", "once"),
    "a server in a zone the stack does not use": (
        {"zones": ["eu-west-1a"], "servers": servers({**ALL, "zone": "eu-west-1b"})},
        "servers[0].zone",
        "eu-west-1a",
    ),
    "not a network": ({"networkCidr": "10.20.0.0/33"}, "networkCidr", "RFC 1918"),
    "host bits set": ({"networkCidr": "10.20.0.1/16"}, "networkCidr", "RFC 1918"),
    "a public network": ({"networkCidr": "8.8.0.0/16"}, "networkCidr", "RFC 1918"),
    "a network too small": ({"networkCidr": "10.20.0.0/28"}, "networkCidr", "/16 to /24"),
    "not an instance type": ({"instanceType": "medium"}, "instanceType", "t3.medium"),
    "a type whose volumes have no NVMe name": ({"instanceType": "t2.medium"}, "instanceType", "such as t3.medium"),
    "a server's type whose volumes have no NVMe name": (
        {"servers": servers({**ALL, "instanceType": "m4.large"})},
        "servers[0].instanceType",
        "such as t3.medium",
    ),
    "a type for macOS": ({"instanceType": "mac2.metal"}, "instanceType", "such as t3.medium"),
    "too little memory for a database": ({"instanceType": "t3.small"}, "instanceType", "4 GiB or more"),
    "too little memory, and no NVMe name": ({"instanceType": "t2.micro"}, "instanceType", "4 GiB or more"),
    "too little memory for a read replica": (
        {"servers": servers(ALL, server("b-2", "read_replica", instanceType="t3.micro"))},
        "servers[1].instanceType",
        "4 GiB or more",
    ),
    "two architectures": (
        {"servers": servers(ALL, server("b-2", APP, instanceType="t4g.medium"))},
        "instanceType",
        "only x86_64 or only arm64",
    ),
    "not an image": ({"image": "ubuntu-26.04"}, "image", "ami-"),
    "several load balancers on one address": ({"preset": "active-passive", "edge": "eip"}, "edge", "'floating-eip'"),
    "a floating address without a second": ({"edge": "floating-eip"}, "edge", "Add one"),
    "names without a domain": ({"preset": "active-active", "edge": "dns"}, "domain", "'hostedZoneId'"),
    "names without a zone": (
        {"preset": "active-active", "edge": "dns", "domain": "www.example.org"},
        "hostedZoneId",
        "Set",
    ),
    "a zone without a domain": ({"hostedZoneId": "Z0123456789ABC"}, "domain", "Set 'domain'"),
    "not a hosted zone": ({"domain": "www.example.org", "hostedZoneId": "example.org"}, "hostedZoneId", "Route 53"),
    "not a host name": ({"domain": "https://www.example.org/"}, "domain", "www.example.org"),
    "a primary that is no database server": ({"preferredPrimary": "server-9"}, "preferredPrimary", "server-1"),
    "a certificate without its key": (
        {"tls": {"mode": "provided", "certificateParameter": "/example/cert"}},
        "tls.keyParameter",
        "SSM parameter",
    ),
    "a key without its certificate": (
        {"tls": {"mode": "provided", "keyParameter": "/example/key"}},
        "tls.certificateParameter",
        "SSM parameter",
    ),
    "a certificate that is not used": (
        {"tls": {"certificateParameter": "/example/cert"}},
        "tls.certificateParameter",
        "Remove",
    ),
    "not a parameter's name": (
        {"tls": {"mode": "provided", "certificateParameter": "cert.pem", "keyParameter": "/example/key"}},
        "tls.certificateParameter",
        "/example/tls/key.pem",
    ),
    "an application without a port": (
        {"application": {k: v for k, v in APPLICATION.items() if k != "port"}},
        "application.port",
        "Add it",
    ),
    "an application on a port of the server's": (
        {"application": {**APPLICATION, "port": 3306}},
        "application.port",
        "8080",
    ),
    "an application on a privileged port": ({"application": {**APPLICATION, "port": 80}}, "application.port", "1024"),
    "an artifact that is a file": (
        {"application": {**APPLICATION, "artifact": "./site.zip"}},
        "application.artifact",
        "s3://",
    ),
    "an artifact without its digest": (
        {"application": {**APPLICATION, "sha256": "latest"}},
        "application.sha256",
        "64 hex",
    ),
    "a start command of two lines": ({"application": {**APPLICATION, "start": "a\nb"}}, "application.start", "command"),
    "a start command that is a comment": (
        {"application": {**APPLICATION, "start": "# serve"}},
        "application.start",
        "command that serves",
    ),
    "a start command of two commands": (
        {"application": {**APPLICATION, "start": "./migrate && ./serve"}},
        "application.start",
        "script of the archive",
    ),
    "a start command that begins with a variable": (
        {"application": {**APPLICATION, "start": "MODE=fast ./serve"}},
        "application.start",
        "env MODE=fast",
    ),
    "a start command with half a quote": (
        {"application": {**APPLICATION, "start": "./serve 'a b"}},
        "application.start",
        "Close them",
    ),
    "a secret that is no parameter": (
        {"application": {**APPLICATION, "secrets": {"MAIL_PASSWORD": "s3cret"}}},
        "application.secrets.MAIL_PASSWORD",
        "/example/mail-password",
    ),
    "a secret of Tripod's own": (
        {"application": {**APPLICATION, "secrets": {"ROOT": "/tripod/dev/mysql/replication/password"}}},
        "application.secrets.ROOT",
        "another path",
    ),
    "a secret that is no variable": (
        {"application": {**APPLICATION, "secrets": {"mail-password": "/example/mail"}}},
        "application.secrets.mail-password",
        "MAIL_PASSWORD",
    ),
    "a secret that takes a variable of Tripod's": (
        {"application": {**APPLICATION, "secrets": {"TRIPOD_DB_CA": "/example/mail"}}},
        "application.secrets.TRIPOD_DB_CA",
        "TRIPOD_",
    ),
    "more secrets than a policy holds": (
        {"application": {**APPLICATION, "secrets": {f"KEY_{n}": f"/example/{n}" for n in range(7)}}},
        "application.secrets",
        "at most 6",
    ),
    "a secret with a long name": (
        {"application": {**APPLICATION, "secrets": {"KEY": f"/example/{'x' * 64}"}}},
        "application.secrets.KEY",
        "at most 64",
    ),
    "a secret that is a number": (
        {"application": {**APPLICATION, "secrets": {"PIN": 1234}}},
        "application.secrets.PIN",
        "--type string",
    ),
    "a health path without a slash": (
        {"application": {**APPLICATION, "health": "up"}},
        "application.health",
        "/healthz",
    ),
    "a subscriber without an address": (subscribed("email", "oncall"), "alerts.subscriptions[0].endpoint", "oncall@"),
    "a subscriber in clear text": (
        subscribed("https", "http://example.org/"),
        "alerts.subscriptions[0].endpoint",
        "https://",
    ),
    "a protocol that is not encrypted": (
        subscribed("http", "http://example.org/"),
        "alerts.subscriptions[0].protocol",
        "'https'",
    ),
    "a telephone number without its country": (
        subscribed("sms", "0301234567"),
        "alerts.subscriptions[0].endpoint",
        "E.164",
    ),
    "a queue's address for its ARN": (
        subscribed("sqs", "https://sqs.eu-west-1.amazonaws.com/123456789012/alerts"),
        "alerts.subscriptions[0].endpoint",
        "ARN of a queue",
    ),
    "a function's name for its ARN": (
        subscribed("lambda", "alerts"),
        "alerts.subscriptions[0].endpoint",
        "ARN of a function",
    ),
    "a subscriber twice": (
        {"alerts": {"subscriptions": [{"protocol": "email", "endpoint": "a@example.org"}] * 2}},
        "alerts.subscriptions",
        "once",
    ),
    "unknown key of a subscriber": (
        {"alerts": {"subscriptions": [{"protocol": "sms", "endpoint": "+14155550100", "endpiont": "x"}]}},
        "alerts.subscriptions[0].endpiont",
        "'endpoint'",
    ),
    "text for protection": ({"deletionProtection": "perhaps"}, "deletionProtection", "true or false"),
    "a tag of AWS's own": ({"tags": {"aws:owner": "me"}}, "tags", "aws:"),
    "a tag that Tripod sets": ({"tags": {"Stack": "other"}}, "tags.Stack", "another key"),
    "a tag that Tripod sets, in other letters": ({"tags": {"project": "shop"}}, "tags.project", "another key"),
    "the name of every resource": ({"tags": {"Name": "shop"}}, "tags.Name", "another key"),
    "two tags that IAM takes for one": ({"tags": {"Team": "a", "team": "b"}}, "tags", "Keep one"),
    "a tag's value too long": ({"tags": {"Owner": "x" * 300}}, "tags.Owner", "256"),
    "a tag's value that IAM refuses": ({"tags": {"Owner": "Jane (ops), #1"}}, "tags.Owner", "Use letters"),
    "a tag's key that IAM refuses": ({"tags": {"cost;centre": "1"}}, "tags.cost;centre", "Use letters"),
    "too many tags": ({"tags": {f"key{n}": "v" for n in range(7)}}, "tags", "at most 6"),
    "a tag that is a number": ({"tags": {"CostCentre": 42}}, "tags.CostCentre", "quotes"),
}


def refuse(raw: dict[str, object], stack: str = "test") -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        build_topology(Settings.parse(raw, stack), stack=stack, region="eu-west-1", zones=ZONES)
    return caught.value


@pytest.mark.parametrize("name", CORPUS)
def test_a_bad_configuration_is_refused_with_its_key_and_the_mend(name: str) -> None:
    raw, key, mend = CORPUS[name]
    error = refuse(raw)
    matching = [problem for problem in error.problems if problem.key == key]
    assert matching, f"{key} is not named in:\n{error}"
    assert any(mend in problem.mend for problem in matching), str(error)
    assert f"tripod:{key}: " in str(error)


def test_the_corpus_is_large_enough_and_a_good_configuration_passes() -> None:
    assert len(CORPUS) >= 40
    build_topology(Settings.parse({"application": APPLICATION}), stack="test", region="eu-west-1", zones=ZONES)


def test_a_server_without_a_database_may_be_small() -> None:
    small = server("b-2", APP, "monitoring", instanceType="t3.small")
    build_topology(Settings.parse({"servers": servers(ALL, small)}), stack="test", region="eu-west-1", zones=ZONES)
    # What nobody uses is no matter.
    whole = servers({**ALL, "instanceType": "t3.large"}, small)
    build_topology(
        Settings.parse({"servers": whole, "instanceType": "t3.nano"}), stack="test", region="eu-west-1", zones=ZONES
    )


def test_several_faults_are_reported_together() -> None:
    error = refuse({"networkCidr": "8.8.8.8/8", "image": "latest", "domain": "not a host", "preferredPrimary": "x"})
    assert {problem.key for problem in error.problems} == {"networkCidr", "image", "domain", "preferredPrimary"}
    assert str(error).startswith("The configuration of stack 'test' has 4 problems:\n  - tripod:")


@pytest.mark.parametrize("stack", ["Dev", "my_stack", "1st", "a" * 24, "dev-", "dev-bk"])
def test_a_stacks_name_must_fit_the_names_made_of_it(stack: str) -> None:
    assert [problem.key for problem in refuse({}, stack).problems] == ["(stack)"]
