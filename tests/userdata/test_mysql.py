"""MySQL's rendered files: the safety features are there, on every database server of every stack."""

from __future__ import annotations

import configparser
import json
import re
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings

from tests.userdata.image import Image, find
from tests.userdata.topologies import build, preset, topologies
from topology import names
from topology.names import Account
from userdata import paths
from userdata.host.accounts import ACCOUNTS, LOCAL_ACCOUNTS, statements
from userdata.host.database import Database
from userdata.mysql.files import (
    CONFIGURATION,
    CONNECTIONS_EACH,
    DATABASE_FACTS,
    INITIALISE,
    TLS,
    files,
    max_connections,
)
from userdata.render import bundle

DROP_IN = f"{paths.SYSTEMD}/mysql.service.d/tripod.conf"

# Gone in 8.4 or 9.0 (release notes), refused by mysqld. Ubuntu has 8.4, the rehearsal 9.7.
REMOVED = {
    "binlog_transaction_dependency_tracking", "default_authentication_plugin", "expire_logs_days",
    "group_replication_ip_whitelist", "have_ssl", "innodb_log_file_size", "log_slave_updates", "master_info_repository",
    "mysql_native_password", "old_alter_table", "relay_log_info_repository", "skip_host_cache", "ssl",
    "transaction_write_set_extraction", "sync_relay_log_info", "keyring_file_data",
}  # fmt: skip


def texts(topology, server):
    return {file.path: file.content for file in files(topology, topology.server(server)).files}


def options(topology, server):
    """The [mysqld] section; an option that stands twice has its values joined with commas."""

    class Joined(dict):
        def __setitem__(self, key, value):
            if key in self and isinstance(value, list):
                value = [*self[key], *value]
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Joined)
    parser.read_string(texts(topology, server)[CONFIGURATION])
    return {key: value.replace("\n", ",") for key, value in parser["mysqld"].items()}


@pytest.fixture
def mysqld():
    return options(preset("reference"), "server-1")


def test_a_server_outside_its_group_takes_no_write(mysqld):
    assert mysqld["super_read_only"] == "ON"
    assert mysqld["group_replication_start_on_boot"] == "OFF"


@pytest.mark.parametrize("server", ["server-1", "server-2"])
def test_only_the_unit_runs_a_server_with_this_configuration(server):
    topology = build(**REPLICATED)
    assert options(topology, server)["validate_config"] == "ON"
    commands = [line for line in texts(topology, server)[DROP_IN].splitlines() if line.startswith("ExecStart=")]
    assert commands == ["ExecStart=", "ExecStart=/usr/sbin/mysqld --skip-validate-config $TRIPOD_BUFFER_POOL"]


def test_a_commit_is_on_disk(mysqld):
    assert (mysqld["sync_binlog"], mysqld["innodb_flush_log_at_trx_commit"]) == ("1", "1")


def test_tls_everywhere(mysqld):
    assert mysqld["require_secure_transport"] == "ON"
    assert mysqld["tls_version"] == "TLSv1.2,TLSv1.3"
    assert mysqld["group_replication_ssl_mode"] == "VERIFY_IDENTITY"
    assert mysqld["group_replication_recovery_ssl_verify_server_cert"] == "ON"
    assert {mysqld["ssl_ca"], mysqld["ssl_cert"], mysqld["ssl_key"]} == set(TLS.values())
    # Where the distribution's AppArmor profile lets mysqld read.
    assert all(path.startswith("/etc/mysql/") for path in TLS.values())


def test_partitions_are_decided_explicitly(mysqld):
    assert mysqld["group_replication_member_expel_timeout"] == "0"
    assert 0 < int(mysqld["group_replication_unreachable_majority_timeout"]) <= 10
    assert mysqld["group_replication_exit_state_action"] == "READ_ONLY"
    assert mysqld["group_replication_autorejoin_tries"] == "0"
    assert mysqld["group_replication_consistency"] == "BEFORE_ON_PRIMARY_FAILOVER"


@pytest.mark.parametrize("apps", range(1, 101))
def test_every_application_server_can_have_its_connections(apps):
    found = max_connections(apps)
    if apps <= 37:
        assert apps * CONNECTIONS_EACH + 30 <= found, "and some are left for MySQL's own"
    # LimitNOFILE of the packages' mysql.service; MySQL manual, "open_files_limit".
    assert max(10 + found + 2 * 1000, 5 * found) <= 10_000


def test_one_more_application_server_seldom_restarts_mysql():
    """A server's configuration is another one only past a step."""
    found = [max_connections(apps) for apps in range(1, 101)]
    assert sorted(set(found)) == sorted(set(found), key=found.index) == [151, 512, 1536]

    def stack(apps):
        first = {"name": "server-1", "roles": ["load_balancer", "app", "database"]}
        more = [{"name": f"app-{number}", "roles": ["app"]} for number in range(2, apps + 1)]
        return build(servers=[first, *more], edge="eip")

    three, four, twelve = (texts(stack(apps), "server-1")[CONFIGURATION] for apps in (3, 4, 12))
    assert "max_connections = 151" in three
    assert "max_connections = 512" in four
    assert four == twelve


@pytest.mark.parametrize("role, restarted", [("database", True), ("read_replica", False)])
def test_a_renewed_certificate_restarts_a_member_of_the_group(role, restarted):
    """Seen with openssl s_client: after ALTER INSTANCE RELOAD TLS the group's port still shows the old one."""
    servers = [{"name": f"server-{n}", "roles": ["load_balancer", "app", "database"]} for n in (1, 2, 3)]
    topology = build(edge="nlb", servers=[*servers, {"name": "server-4", "roles": ["read_replica"]}])
    server = next(server for server in topology.servers if role in server.roles)
    made = bundle(topology, server)
    (unit,) = [unit for unit in made.units if unit.name == "mysql.service"]
    (key,) = [secret.path for secret in made.secrets if secret.path.endswith("server-key.pem")]
    assert any(key.startswith(path) for path in unit.files) is restarted


def test_plugins(mysqld):
    assert mysqld["plugin_load_add"] == "mysql_clone.so,group_replication.so"
    assert mysqld["mysqlx"] == "OFF"


def test_no_slow_log_while_a_clone_with_its_password_may_run(mysqld):
    assert mysqld["slow_query_log"] == "OFF"


def test_no_option_that_8_4_or_9_removed(mysqld):
    assert not REMOVED & set(mysqld)


def test_read_after_the_distributions_own_file():
    assert sorted(["mysql.cnf", "mysqld.cnf", CONFIGURATION.rpartition("/")[2]])[-1] == "zz-tripod.cnf"


@given(topologies())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_members_differ_and_know_each_other(topology):
    seen = {server.name: options(topology, server.name) for server in topology.databases}
    assert len({one["server_id"] for one in seen.values()}) == len(seen)
    assert len({one["bind_address"] for one in seen.values()}) == len(seen)
    assert not any("group_replication_group_name" in one for one in seen.values()), (
        "each new group has a name of its own"
    )
    for name, one in seen.items():
        assert one["report_host"] == name
        assert one["bind_address"] == str(topology.server(name).address)
        allowed = ip_network(one["group_replication_ip_allowlist"])
        assert all(other.address in allowed for other in topology.databases)
        facts = json.loads(texts(topology, name)[DATABASE_FACTS])
        assert [member["name"] for member in facts["members"]] == [other.name for other in topology.databases]
    for server in topology.read_replicas:
        facts = json.loads(texts(topology, server.name)[DATABASE_FACTS])
        assert facts["read_replica"]["server_id"] == server.server_id
        assert server.name not in {member["name"] for member in facts["members"]}
    for server in topology.servers:
        if not server.holds_data:
            assert not any(file.path == CONFIGURATION for file in files(topology, server).files)


def test_growing_a_group_restarts_no_member():
    def stack(count):
        roles = {1: ["load_balancer", "app", "database"], 2: ["app", "database"], 3: ["app", "database"]}
        servers = [{"name": f"server-{n}", "roles": roles.get(n, ["database"])} for n in range(1, count + 1)]
        return build(servers=servers, edge="eip")

    small, large = texts(stack(3), "server-2"), texts(stack(5), "server-2")
    changed = {path for path in small if small[path] != large[path]}
    assert changed == {DATABASE_FACTS}
    units = bundle(stack(5), stack(5).server("server-2")).units
    assert not any(DATABASE_FACTS in unit.files for unit in units)


REPLICATED = {
    "servers": [
        {"name": "server-1", "roles": ["load_balancer", "app", "database"]},
        {"name": "server-2", "roles": ["read_replica"]},
    ],
    "edge": "eip",
    "replicaLagSeconds": 7,
}


def test_a_read_replica_follows_only_what_was_compared_and_takes_no_write():
    mysqld = options(build(**REPLICATED), "server-2")
    assert mysqld["super_read_only"] == "ON"
    assert mysqld["skip_replica_start"] == "ON"
    assert mysqld["group_replication_start_on_boot"] == "OFF"
    # Ten heartbeats of a second would fit the default of a minute; a lost source must be noticed soon.
    assert int(mysqld["replica_net_timeout"]) <= 5
    assert "skip_replica_start" not in options(build(**REPLICATED), "server-1")


def test_a_read_replica_runs_its_own_daemon_with_one_password():
    topology = build(**REPLICATED)
    part = files(topology, topology.server("server-2"))
    assert [unit.name for unit in part.units] == [
        "mysql.service", "tripod-role-check.service", "tripod-replica.service",
    ]  # fmt: skip
    passwords = {secret.parameter for secret in part.secrets if "/password" in secret.parameter}
    assert passwords == {names.password_parameter("dev", Account.REPLICATION)}


def test_a_read_replica_reads_its_facts(tmp_path):
    path = tmp_path / "database.json"
    path.write_text(texts(build(**REPLICATED), "server-2")[DATABASE_FACTS])
    database = Database.load(path)
    assert database.me == database.read_replica
    assert database.me.name == "server-2"
    assert [peer.name for peer in database.peers] == ["server-1"]
    assert database.replica_lag_seconds == 7


def test_the_host_programs_read_the_facts(tmp_path):
    path = tmp_path / "database.json"
    path.write_text(texts(preset("reference"), "server-2")[DATABASE_FACTS])
    database = Database.load(path)
    assert database.me.name == "server-2"
    assert [peer.name for peer in database.peers] == ["server-1", "server-3"]
    assert database.majority == preset("reference").majority
    assert f"{database.group_parameters}/initialised" == names.group_token_parameter("dev")
    assert database.seed("server-1") == f"{preset('reference').server('server-1').address}:33061"


def test_every_account_has_a_password_file_for_root_only():
    topology = preset("reference")
    secrets = {secret.path: secret for secret in files(topology, topology.server("server-1")).secrets}
    assert {account.name for account in ACCOUNTS} == {account.value for account in Account}
    for account in Account:
        secret = secrets[f"{paths.SECRETS}/mysql/{account.value}"]
        assert secret.parameter == names.password_parameter("dev", account)
        assert (secret.mode, secret.owner) == ("0400", "root:root")
    assert (secrets[TLS["key"]].mode, secrets[TLS["key"]].owner) == ("0440", "root:mysql")


def test_the_init_file_has_one_statement_a_line():
    text = texts(preset("reference"), "server-1")[INITIALISE]
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    assert [f"{statement};" for statement in statements(text)] == lines
    assert "IDENTIFIED BY" not in text
    assert set(re.findall(r"CREATE USER IF NOT EXISTS '([^']+)'@'localhost'", text)) == LOCAL_ACCOUNTS


def test_a_stop_leaves_the_group_first():
    assert "ExecStop=+/usr/bin/python3 -m host.database_stop" in texts(preset("reference"), "server-1")[DROP_IN]


def test_the_groups_memory_outlives_a_stop_of_its_daemon():
    """Else it would not lift its own fence, and an operator's permission to lead would be gone."""
    unit = texts(preset("reference"), "server-1")[f"{paths.SYSTEMD}/tripod-group.service"]
    assert "RuntimeDirectoryPreserve=yes" in unit.splitlines()


@pytest.mark.native
def test_a_blank_data_directory_is_initialised(tmp_path):
    image = Image(find(), tmp_path)
    image.stage(texts(preset("reference"), "server-1"))
    image.stage({f.path: f.content for f in bundle(preset("reference"), preset("reference").server("server-1")).files})
    start = "python3 -P -m host.database_init"
    script = (
        f"cp /staged{INITIALISE} {INITIALISE}; rm -rf /var/lib/mysql; mkdir /var/lib/mysql; "
        f"export PYTHONPATH=/staged{paths.LIBRARY}; {start} && {start} && ls -A /var/lib/mysql"
    )
    result = image.run("sh", "-c", script)
    assert result.returncode == 0, result.stdout
    assert "is initialised now" in result.stdout
    assert "mysql.ibd" in result.stdout
    assert ".tripod-initialising" not in result.stdout
    assert "ERROR" not in result.stdout
