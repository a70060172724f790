"""What the bundle adds to AppArmor's profiles is understood, with the profiles of the distribution around it.

No kernel is asked: the parser compiles a profile as it would load it.
"""

from __future__ import annotations

import pytest

from rehearsal.distribution import DEBIAN, chosen
from tests.userdata.image import Image, find
from tests.userdata.topologies import preset
from userdata.backup import files as backup
from userdata.host.backup_mysqld import PROFILE as MYSQLD
from userdata.logs import files as logs
from userdata.render import bundle

pytestmark = pytest.mark.native

COMPILE = """
set -e
cp -r /staged/etc/apparmor.d/. /etc/apparmor.d/
exec apparmor_parser --skip-kernel-load --skip-cache --features-file /etc/apparmor.d/abi/4.0 --warn=all "$1"
"""
ALONE = "include <tunables/global>\nprofile tripod-trial /usr/bin/trial {{\n  include <{0}>\n}}\n"
ADDITIONS = {backup.APPARMOR: str(MYSQLD), logs.APPARMOR: logs.PROFILE}
"""Our file -> the distribution's profile that includes it, where the distribution has one."""


@pytest.fixture
def image(tmp_path):
    found = Image(find(), tmp_path)
    topology = preset("active-passive")
    files = {file.path: file.content for file in bundle(topology, topology.server("server-1")).files}
    for path in ADDITIONS:
        found.stage({path: files[path], f"/trial{path}": ALONE.format(path.removeprefix("/etc/apparmor.d/"))})
    return found


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_is_understood_by_itself(image, addition):
    done = image.run("sh", "-c", COMPILE, "sh", f"/staged/trial{addition}")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_distributions_profiles_with_the_additions_are_understood(image):
    present = {ours: profile for ours, profile in ADDITIONS.items() if (image.root / profile.lstrip("/")).exists()}
    assert backup.APPARMOR in present
    assert logs.APPARMOR in present or chosen() == DEBIAN, "Debian's rsyslog brings no profile"
    for addition, profile in present.items():
        done = image.run("sh", "-c", COMPILE, "sh", profile)
        assert done.returncode == 0, done.stdout
        text = (image.root / profile.lstrip("/")).read_text()
        assert any(f"include {word}<{part}>" in text for word in ("", "if exists ") for part in _parts(addition))


@pytest.mark.parametrize("addition", ADDITIONS)
def test_a_mistake_in_an_addition_is_found(image, addition):
    image.stage({addition: "/var/lib/tripod/** neither\n"})
    assert image.run("sh", "-c", COMPILE, "sh", f"/staged/trial{addition}").returncode != 0


def _parts(addition: str) -> tuple[str, str]:
    """How a profile may include the file: by its name, or by its folder."""
    name = addition.removeprefix("/etc/apparmor.d/")
    return name, name.rpartition("/")[0]
