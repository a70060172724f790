"""A server in a directory and its emulated AWS, before and after a first bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.host.fakes import Site, make, upload


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Before its first bundle."""
    with mock_aws():
        yield Site.create(tmp_path)


@pytest.fixture
def applied(site: Site) -> Site:
    """A first bundle was applied."""
    upload(site.s3, make())
    site.apply()
    site.machine.log.clear()
    return site
