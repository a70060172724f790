"""A broken bundle on a real host: nothing that runs is touched, one error says why, a good one applies again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from rehearsal.drills.stack import Stack
from tests.rehearsal.bundle_objects import BundleObjects
from userdata.haproxy.files import CONFIGURATION as HAPROXY
from userdata.host.errors import EXIT_BUNDLE, EXIT_CHECK, EXIT_SECRET
from userdata.mysql.files import CONFIGURATION as MYSQL

pytestmark = pytest.mark.rehearsal

SERVER = "server-2"
UNITS = ("haproxy.service", "mysql.service", "tripod-app.service", "tripod-group.service")
SECRET = "/etc/tripod/secrets/app_reader"


@pytest.fixture
def bundle(reference: Stack) -> Iterator[BundleObjects]:
    objects = BundleObjects(reference, SERVER)
    try:
        yield objects
    finally:
        objects.restore()


def wrong_digest(bundle: BundleObjects) -> str:
    bundle.damage(HAPROXY, b"not what the manifest says\n")
    return f"{HAPROXY} has digest"


def missing_object(bundle: BundleObjects) -> str:
    bundle.damage(HAPROXY, None)
    return f"{HAPROXY} is missing"


def missing_secret(bundle: BundleObjects) -> str:
    return f"parameter {bundle.remove_secret(SECRET)} missing"


def bad_haproxy(bundle: BundleObjects) -> str:
    bundle.publish(HAPROXY, bundle.read(HAPROXY).replace("balance roundrobin", "balance rubbish"))
    return f"haproxy refuses {HAPROXY}"


def bad_mysql(bundle: BundleObjects) -> str:
    bundle.publish(MYSQL, bundle.read(MYSQL) + "\nno_such_variable = 1\n")
    return f"mysqld refuses {MYSQL}"


FAULTS = [
    pytest.param(wrong_digest, EXIT_BUNDLE, id="wrong digest"),
    pytest.param(missing_object, EXIT_BUNDLE, id="missing object"),
    pytest.param(missing_secret, EXIT_SECRET, id="missing secret"),
    pytest.param(bad_haproxy, EXIT_CHECK, id="bad haproxy.cfg"),
    pytest.param(bad_mysql, EXIT_CHECK, id="bad my.cnf"),
]


def processes(stack: Stack) -> str:
    """Main process and start of every service: the same text twice means that none was touched."""
    wanted = "Id,ActiveState,MainPID,NRestarts,ActiveEnterTimestampMonotonic"
    return stack.exec(SERVER, "systemctl", "show", "-p", wanted, *UNITS).stdout


def serves(stack: Stack, site: str) -> bool:
    # Two requests: one of them is answered by the server under test.
    answers = [requests.get(f"{site}/api/entries?limit=1", verify=stack.ca_file, timeout=10) for _ in range(2)]
    return {answer.status_code for answer in answers} == {200} and SERVER in {a.json()["served_by"] for a in answers}


@pytest.mark.parametrize("fault, exit_code", FAULTS)
def test_a_broken_bundle_touches_no_service(
    reference: Stack, site: str, bundle: BundleObjects, fault, exit_code
) -> None:
    before = processes(reference)
    message = fault(bundle)
    done = reference.exec(SERVER, "tripod", "apply", check=False)
    assert processes(reference) == before
    assert done.exit_code == exit_code
    said = (done.stderr + done.stdout).strip().splitlines()
    assert len(said) == 1, said
    assert message in said[0]
    assert serves(reference, site)
    bundle.restore()
    again = reference.exec(SERVER, "tripod", "apply")
    assert "nothing to change" in again.stdout
    assert processes(reference) == before


def test_a_good_bundle_after_a_broken_one_is_applied(reference: Stack, site: str, bundle: BundleObjects) -> None:
    bad_haproxy(bundle)
    assert not reference.exec(SERVER, "tripod", "apply", check=False).ok
    bundle.restore()
    mark = "# mended\n"
    bundle.publish(HAPROXY, bundle.read(HAPROXY) + mark)
    done = reference.exec(SERVER, "tripod", "apply")
    assert HAPROXY in done.stdout
    assert reference.exec(SERVER, "tail", "-n", "1", HAPROXY).stdout == mark
    assert serves(reference, site)
    bundle.restore()
    reference.exec(SERVER, "tripod", "apply")
    reference.wait_healthy()
