"""The size of MySQL's buffer pool, from what /proc/meminfo of a server says."""

from __future__ import annotations

from pathlib import Path

import pytest

from userdata.host import database_memory

# MemTotal in kB of t3.medium, t3.large, m7i.2xlarge and r7i.8xlarge: what the kernel keeps for itself is not in it.
MEMORY = {3_938_452: 1024, 8_027_032: 2048, 32_386_884: 7680, 260_046_848: 63_488}


def meminfo(total: int) -> str:
    return f"MemTotal:       {total} kB\nMemFree:          123456 kB\n"


@pytest.mark.parametrize("total, size", MEMORY.items())
def test_a_quarter_of_the_memory_and_never_less_than_the_configuration_says(total: int, size: int):
    found = database_memory.pool_mib(meminfo(total), 1024)
    assert found == size
    assert found == 1024 or 0.2 < found * 1024 / total < 0.27


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FILE", "MEMORY", "CONTAINER"):
        monkeypatch.setattr(database_memory, name, tmp_path / name)
    (tmp_path / "MEMORY").write_text(meminfo(8_027_032))
    return tmp_path


def test_the_unit_gets_it_as_an_option(place: Path):
    assert database_memory.main(["1024"]) == 0
    assert (place / "FILE").read_text() == "TRIPOD_BUFFER_POOL=--innodb-buffer-pool-size=2048M\n"


def test_in_a_container_the_memory_is_not_the_servers_own(place: Path):
    (place / "CONTAINER").write_text("systemd-nspawn")
    database_memory.main(["1024"])
    assert (place / "FILE").read_text().endswith("=1024M\n")


def test_what_cannot_be_read_keeps_no_database_from_starting(place: Path, capsys: pytest.CaptureFixture[str]):
    (place / "MEMORY").write_text("")
    assert database_memory.main(["1024"]) == 0
    assert not (place / "FILE").exists()
    assert "the configured size" in capsys.readouterr().err
