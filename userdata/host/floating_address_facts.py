"""What a load balancer knows of the floating address before it has asked anybody: floating-address.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FACTS = Path("/etc/tripod/floating-address.json")


@dataclass(frozen=True)
class Facts:
    """floating-address.json. `load_balancers` are (name, private address), the first ranks highest."""

    region: str
    server: str
    address: str
    tags: Mapping[str, str]
    load_balancers: tuple[tuple[str, str], ...]
    health_port: int
    instance: str
    holder_bonus: int
    runtime: Path

    @classmethod
    def load(cls, path: Path = FACTS) -> Facts:
        """Read the file that the bundle brings. Raises OSError, ValueError or KeyError."""
        value: dict[str, Any] = json.loads(path.read_text())
        return cls(
            region=value["region"],
            server=value["server"],
            address=value["address"],
            tags=value["tags"],
            load_balancers=tuple((one["name"], one["address"]) for one in value["load_balancers"]),
            health_port=value["health_port"],
            instance=value["instance"],
            holder_bonus=value["holder_bonus"],
            runtime=Path(value["runtime"]),
        )

    def rank(self, address: str) -> int | None:
        """Place of a private address in the order of load balancers; None for a stranger's."""
        addresses = [one for _, one in self.load_balancers]
        return addresses.index(address) if address in addresses else None
