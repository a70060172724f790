from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import entries as module
from app.application import create_application
from app.entries import Entries
from app.pool import Pool, PoolLimits
from app.settings import Address, Endpoint, Settings
from tests.app.fakes import FakeDatabase


@pytest.fixture(autouse=True)
def _short_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITE_BUDGET", "READ_BUDGET", "HEALTH_BUDGET", "CONFIRM_BUDGET"):
        monkeypatch.setattr(module, name, 0.2)
    monkeypatch.setattr(module, "READ_ATTEMPTS", (0.03, 0.06))
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.01)


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


@pytest.fixture
def entries(database: FakeDatabase) -> Entries:
    return Entries(
        writer=Pool(database.connect_writer, PoolLimits(size=2, queue=2)),
        reader=Pool(database.connect_reader, PoolLimits(size=4, queue=4, spread=3)),
        writes_at_once=3,
    )


@pytest.fixture
def settings() -> Settings:
    nowhere = Endpoint(Address("127.0.0.1", 1), "app", "nobody", Path("/nonexistent"), Path("/nonexistent"))
    return Settings("server-2", "dev", Address("127.0.0.1", 8080), nowhere, nowhere, 8)


@pytest.fixture
def client(settings: Settings, entries: Entries) -> FlaskClient:
    return create_application(settings, entries).test_client()
