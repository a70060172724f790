"""What every test shares: the order of tests, what this machine can rehearse, and no way to a real AWS account."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from functools import cache

import hypothesis
import pytest

from rehearsal import requirements

# Tests run in this order: what is cheap and likely to fail comes first.
ORDER = ("native", "rehearsal")

# A shared two-core machine stalls now and then: the time of one example says nothing.
hypothesis.settings.register_profile("tripod", deadline=None)
hypothesis.settings.load_profile("tripod")


@cache
def obstacles() -> tuple[str, ...]:
    """Why this machine cannot run real hosts; empty when it can."""
    return tuple(requirements.missing())


def needs_hosts(item: pytest.Item) -> bool:
    """Whether a test boots hosts or runs programs of their image."""
    return any(item.get_closest_marker(name) for name in (*ORDER, "drill"))


def in_ci() -> bool:
    """Whether this run decides what is merged: then a rehearsal that was skipped is a failure."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_configure(config: pytest.Config) -> None:
    """Take this machine's AWS settings away, so that no test can reach an account by mistake; SIGTERM is Ctrl-C."""
    if not hasattr(config, "workerinput"):
        # Fixtures must remove their hosts then, too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pure tests first, then native checks, then the rehearsal; inside each the order of the files."""

    def rank(item: pytest.Item) -> int:
        return max((place for place, name in enumerate(ORDER, 1) if item.get_closest_marker(name)), default=0)

    items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot do before any fixture starts to do it."""
    if needs_hosts(item) and obstacles():
        pytest.skip("; ".join(obstacles()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skipped rehearsal into a failure, whoever skipped it and why."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and needs_hosts(item) and in_ci():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"CI is set, so this must run. {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly what was not tried on this machine."""
    reason = "; ".join(obstacles())
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if reason in str(report.longrepr)]
    if obstacles() and skipped:
        terminalreporter.section("not tried on this machine")
        terminalreporter.line(f"{len(skipped)} tests with real hosts or their programs were skipped, because:")
        for obstacle in obstacles():
            terminalreporter.line(f"  - {obstacle}")
