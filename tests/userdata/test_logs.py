"""The rendered rsyslog configuration: which lines go where, and how none is dropped."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given

from tests.userdata.topologies import PRESET_SERVERS, preset, topologies
from topology import names
from topology.model import Server, Topology
from topology.names import Log, Role
from userdata.host import audit, log_shipper, metrics
from userdata.logs import files as logs
from userdata.render import bundle


def configuration(topology: Topology, server: Server) -> str:
    (text,) = [file.content for file in logs.files(topology, server).files if file.path == logs.CONFIGURATION]
    return text


def routes(text: str) -> dict[str, str]:
    """Condition of each log group."""
    found = re.findall(
        r'^if (.*) then \{\n    set \$\.group = "(.*)";\n    call ship\n    stop\n\}$', text, re.MULTILINE
    )
    return {group: condition for condition, group in found}


@given(topologies())
def test_every_server_ships_what_its_roles_log(topology: Topology) -> None:
    for server in topology.servers:
        found = {group.rsplit("/", 1)[1] for group in routes(configuration(topology, server))}
        units = {unit.name for unit in bundle(topology, server).units}
        assert found == {
            "audit",
            "tripod",
            *(["haproxy"] if "haproxy.service" in units else []),
            *(["mysql"] if "mysql.service" in units else []),
            *(["application"] if "tripod-app.service" in units else []),
        }
        assert logs.SERVICE in units


def test_where_lines_come_from() -> None:
    topology = preset("reference")
    found = routes(configuration(topology, topology.server("server-1")))
    assert found == {
        **{
            f"/tripod/dev/{log}": f'$!_SYSTEMD_UNIT == "{unit}" or ($!_PID == "1" and $!UNIT == "{unit}")'
            for log, unit in (
                ("haproxy", "haproxy.service"),
                ("mysql", "mysql.service"),
                ("application", "tripod-app.service"),
            )
        },
        "/tripod/dev/audit": f'$!SYSLOG_IDENTIFIER == "{audit.IDENTIFIER}" and $!_UID == "0"',
        "/tripod/dev/tripod": '($!_SYSTEMD_UNIT startswith "tripod-" and $!_SYSTEMD_UNIT != "tripod-logs.service")'
        ' or ($!_PID == "1" and ($!UNIT startswith "tripod-" and $!UNIT != "tripod-logs.service"))',
    }
    # The first that holds counts: an apply and the application run in units of that name, too.
    assert [group.rsplit("/", 1)[1] for group in found][-3:] == ["application", "audit", "tripod"]


@pytest.mark.parametrize("name, server", PRESET_SERVERS)
def test_nothing_is_dropped(name: str, server: str) -> None:
    text = configuration(preset(name), preset(name).server(server))
    for word in (
        'confirmMessages="on"',
        'useTransactions="on"',
        'action.resumeRetryCount="-1"',
        # Milliseconds, 2**31 - 1.
        'queue.timeoutEnqueue="2147483647"',
        'RateLimit.Interval="0"',
        'queue.workerThreads="1"',
    ):
        assert word in text
    (size,) = re.findall(r'queue.size="(\d+)"', text)
    (again,) = re.findall(r'PersistStateInterval="(\d+)"', text)
    assert int(size) + int(again) <= logs.AGAIN, "what is in memory can be read again"
    (batch,) = re.findall(r'queue.dequeueBatchSize="(\d+)"', text)
    assert int(batch) <= int(size)
    (wait,) = re.findall(r'confirmTimeout="(\d+)"', text)
    assert int(wait) / 1000 > 2 * log_shipper.ALIVE_EVERY


def test_another_retention_changes_no_server() -> None:
    # The days are the log group's alone: the model that servers are rendered from does not know them.
    assert "retention" not in " ".join(Topology.__dataclass_fields__).lower()


def test_names_agree() -> None:
    assert f"/run/{logs.STATE_NAME}" == metrics.LOGS
    assert set(get_args(audit.Asker)) == {"boot", "command"}
    assert [names.log_group("prod", log) for log in Log] == [
        "/tripod/prod/haproxy",
        "/tripod/prod/mysql",
        "/tripod/prod/application",
        "/tripod/prod/audit",
        "/tripod/prod/tripod",
    ]


def test_what_apparmor_must_allow() -> None:
    topology = preset("reference")
    part = logs.files(topology, topology.server("server-1"))
    rules = next(file.content for file in part.files if file.path == logs.APPARMOR)
    assert f"{logs.SHIPPER} Ux," in rules
    assert f"{logs.STATE}/** rwk," in rules
    unit = next(file.content for file in part.files if file.path.endswith(logs.SERVICE))
    # Any of these forbids a program to leave rsyslogd's profile (systemd.exec, NoNewPrivileges).
    implied = ("NoNewPrivileges", "PrivateDevices", "ProtectKernel", "SystemCall", "Restrict", "LockPersonality")
    directives = [line for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    assert not [line for line in directives if line.startswith(implied)]


def test_a_server_without_haproxy_and_mysql() -> None:
    topology = preset("reference")
    server = Server("monitor-9", (Role.MONITORING,), "z", "s", topology.servers[0].address, "t3.medium", 16, 20)
    assert server.logs == (Log.AUDIT, Log.TRIPOD)
