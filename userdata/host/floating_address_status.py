"""What tripod-floating-address last said, and the "floating_address" part of `tripod status`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .floating_address_facts import FACTS

# Seconds. The daemon speaks every five; one call that hangs costs three more.
STALE = 20.0


@dataclass(frozen=True)
class Status:
    """VRRP's state, whether the address is here (None: not known), who has it, what is done about it, what failed."""

    vrrp: str
    here: bool | None
    at: str | None
    public_ip: str | None
    action: str
    error: str | None


def save(status: Status, path: Path) -> None:
    """Write the status by one rename."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({**asdict(status), "said_at": time.time()}))
    temporary.replace(path)


def floating_address_status(facts: Path = FACTS, root: Path = Path("/")) -> dict[str, Any] | None:
    """None on a server without a floating address, else {"vrrp", "here", "at", "public_ip", "problems": texts}."""
    if not facts.exists():
        return None
    runtime = json.loads(facts.read_text())["runtime"]
    file = root / str(runtime).lstrip("/") / "status.json"
    nothing = {"vrrp": "UNKNOWN", "here": None, "at": None, "public_ip": None}
    try:
        value: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {**nothing, "problems": ["tripod-floating-address has said nothing yet"]}
    age = time.time() - value["said_at"]
    if age > STALE:
        return {**nothing, "problems": [f"tripod-floating-address has said nothing for {age:.0f} s"]}
    return {**{name: value[name] for name in nothing}, "problems": _problems(value)}


def _problems(value: dict[str, Any]) -> list[str]:
    problems = []
    if value["vrrp"] not in ("MASTER", "BACKUP"):
        problems.append(f"VRRP is {value['vrrp']}: see `journalctl -u keepalived`")
    if value["vrrp"] == "MASTER" and value["here"] is False:
        problems.append(f"this server is VRRP master, but the address is at {value['at']} ({value['action']})")
    if value["error"]:
        problems.append(f"the floating address cannot be managed: {value['error']}")
    return problems
