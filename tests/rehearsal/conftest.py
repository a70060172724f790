"""What scenarios on real hosts share: one reference stack for all, and no trace of test runs that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.drills.stack import Stack
from tests.conftest import obstacles
from tests.rehearsal.stack import REFERENCE, remove_stale, running, status


@pytest.fixture(scope="session", autouse=True)
def _no_stale_stacks() -> None:
    """Remove the stacks of test runs that were killed before they could do it themselves."""
    if not obstacles():
        remove_stale()


@pytest.fixture(scope="session")
def project_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the reference stack's program: this repository and one more stack file."""
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="session")
def reference(project_directory: Path) -> Iterator[Stack]:
    """The reference stack, up and verified. One for the whole run: whoever uses it leaves it whole."""
    with running(project_directory, "ref", REFERENCE) as found:
        yield found


@pytest.fixture
def site(reference: Stack) -> str:
    """The address of the reference stack's site, without a slash at its end."""
    return str(status(reference)["url"]).rstrip("/")
