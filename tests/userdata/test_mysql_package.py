"""The distribution's package is configured again beside the stack's data: its real postinst must not write there.

Each test runs the image's own /var/lib/dpkg/info/mysql-server.postinst, as dpkg does at an installation and at every
upgrade, and then the service's own command.
"""

from __future__ import annotations

import shlex

import pytest

from tests.userdata.certificate import self_signed
from tests.userdata.image import Image, find
from tests.userdata.topologies import preset
from userdata import paths
from userdata.host.database_package import CONFIGURATION as GUARDED
from userdata.host.database_package import GUARD
from userdata.mysql.files import CONFIGURATION, INITIALISE, TLS
from userdata.render import bundle

DROP_IN = f"{paths.SYSTEMD}/mysql.service.d/tripod.conf"

FUNCTIONS = f"""
set -e
export DEBIAN_FRONTEND=noninteractive PYTHONPATH=/staged{paths.LIBRARY}
ip link set lo up
ip address add "$ADDRESS/32" dev lo
rm -rf /var/lib/mysql
install -d -o mysql -g mysql -m 700 /var/lib/mysql
install -d -o mysql -g mysql /run/mysqld /etc/mysql/mysql.conf.d
cp /staged{INITIALISE} {INITIALISE}

tripod() {{
    cp -r /staged/etc/mysql/. /etc/mysql/
    chown -R mysql: /etc/mysql/tls
}}
package() {{
    timeout 60 /var/lib/dpkg/info/mysql-server.postinst configure "$1"
    ls /var/lib/mysql/debian-*.flag  # it came past what it does with the data
}}
initialise() {{
    python3 -P -m host.database_init
}}
serve() {{
    "$@" --user=mysql &
    server=$!
    until mysql -e 'SELECT 1' >/dev/null 2>&1; do
        kill -0 "$server" || exit 9
        sleep 0.1
    done
}}
end() {{
    mysqladmin shutdown
    wait "$server"
}}
ask() {{
    mysql --batch --skip-column-names -e "$1"
}}
sums() {{
    find /var/lib/mysql -type f ! -name '*.flag' -exec md5sum {{}} + | sort
}}
"""

pytestmark = pytest.mark.native


@pytest.fixture
def run(tmp_path):
    """Run a script beside a server's rendered files; its output. It must end well."""
    topology = preset("reference")
    server = topology.server("server-1")
    files = {file.path: file.content for file in bundle(topology, server).files}
    certificate, key = self_signed()
    image = Image(find(), tmp_path)
    image.stage(files | {TLS["ca"]: certificate, TLS["certificate"]: certificate, TLS["key"]: key, "guard": GUARD})
    command = [line for line in files[DROP_IN].splitlines() if line.startswith("ExecStart=")][-1]
    variables = (
        f"ADDRESS={server.address}",
        f"SERVICE={command.removeprefix('ExecStart=').removesuffix(' $TRIPOD_BUFFER_POOL')}",
    )

    def run(script: str) -> str:
        done = image.run("env", *variables, "sh", "-c", FUNCTIONS + script, net=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def told(output: str) -> dict[str, str]:
    """The lines `name value` that a script wrote for the test, each begun with a colon."""
    lines = [line[1:].partition(" ") for line in output.splitlines() if line.startswith(":")]
    return {name: value for name, _, value in lines}


def test_an_upgrade_leaves_no_transaction_behind(run):
    script = """
    initialise
    tripod
    serve $SERVICE
    ask "SET GLOBAL super_read_only = OFF; CREATE DATABASE app; SET GLOBAL super_read_only = ON"
    echo ":before $(ask 'SELECT @@gtid_executed')"
    end
    sums > /tmp/before
    package 8.4.1
    sums | diff /tmp/before -
    serve $SERVICE
    echo ":after $(ask 'SELECT @@gtid_executed')"
    echo ":uuid $(ask 'SELECT @@server_uuid')"
    echo ":logging $(ask 'SELECT @@log_bin, @@gtid_mode, @@super_read_only')"
    end
    """
    found = told(run(script))
    assert found["before"] == found["after"] == f"{found['uuid']}:1"
    assert found["logging"].split() == ["1", "ON", "1"]


def test_a_server_made_anew_keeps_its_old_data(run):
    script = """
    initialise
    sums > /tmp/before
    cp /staged/guard GUARDED
    package ""
    sums | diff /tmp/before -
    initialise
    """
    assert "is initialised now" not in run(script.replace("GUARDED", GUARDED)).partition("debian-5.7.flag")[2]


def test_a_new_server_initialises_its_data_itself(run):
    script = """
    cp /staged/guard GUARDED
    package ""
    ls -A /var/lib/mysql | grep -v flag && exit 8
    initialise
    tripod
    serve $SERVICE
    echo ":accounts $(ask "SELECT GROUP_CONCAT(user ORDER BY user) FROM mysql.user WHERE plugin = 'auth_socket'")"
    echo ":executed [$(ask 'SELECT @@gtid_executed')]"
    end
    """
    found = told(run(script.replace("GUARDED", GUARDED)))
    assert found["accounts"] == "debian-sys-maint,role_check,root"
    assert found["executed"] == "[]"


def test_logrotate_may_flush_the_logs(run):
    script = """
    initialise
    tripod
    package 8.4.1
    serve $SERVICE
    mysqladmin --defaults-file=/etc/mysql/debian.cnf ping
    mysqladmin --defaults-file=/etc/mysql/debian.cnf flush-logs
    echo ":executed [$(ask 'SELECT @@gtid_executed')]"
    end
    """
    assert told(run(script))["executed"] == "[]"


def test_the_guard_is_where_the_configuration_will_be():
    assert GUARDED == CONFIGURATION
    assert shlex.split(GUARD.splitlines()[-1]) == ["validate_config", "=", "ON"]
