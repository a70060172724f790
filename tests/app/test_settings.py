from __future__ import annotations

import pytest

from app.settings import Address, ConfigurationError, Settings

ENVIRONMENT = {
    "TRIPOD_SERVER": "server-2",
    "TRIPOD_STACK": "dev",
    "TRIPOD_LISTEN": "10.20.1.10:8080",
    "TRIPOD_DB_WRITER": "127.0.0.1:3306",
    "TRIPOD_DB_READER": "127.0.0.1:3307",
    "TRIPOD_DB_NAME": "app",
    "TRIPOD_DB_WRITER_USER": "app_writer",
    "TRIPOD_DB_READER_USER": "app_reader",
    "TRIPOD_DB_WRITER_PASSWORD_FILE": "/etc/tripod/secrets/app_writer",
    "TRIPOD_DB_READER_PASSWORD_FILE": "/etc/tripod/secrets/app_reader",
    "TRIPOD_DB_CA_FILE": "/etc/tripod/tls/ca.pem",
}


def test_the_environment_of_the_contract_is_understood():
    settings = Settings.from_environment(ENVIRONMENT)
    assert settings.listen == Address("10.20.1.10", 8080)
    assert settings.reader.address.port == 3307
    assert settings.writer.user == "app_writer"
    assert settings.threads == 32


def test_every_fault_is_reported_at_once():
    faulty = ENVIRONMENT | {"TRIPOD_DB_READER": "3307", "TRIPOD_APP_THREADS": "many"}
    del faulty["TRIPOD_SERVER"], faulty["TRIPOD_DB_CA_FILE"]
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment(faulty)
    message = str(raised.value)
    for name in ("TRIPOD_SERVER", "TRIPOD_DB_CA_FILE", "TRIPOD_DB_READER", "TRIPOD_APP_THREADS"):
        assert message.count(f"{name} ") + message.count(f"{name}:") == 1


@pytest.mark.parametrize("text", ["", "host", ":3306", "host:", "host:0", "host:65536", "host:x"])
def test_an_address_needs_a_host_and_a_port(text):
    with pytest.raises(ValueError, match="host:port"):
        Address.parse(text)
