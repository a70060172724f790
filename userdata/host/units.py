"""systemd units: what they are doing, and bringing them to where the manifest wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import StepError
from .manifest import UnitEntry
from .system import Result, System

# A stop of MySQL flushes; a start after a crash recovers. systemctl waits for both.
SYSTEMCTL_SECONDS = 600.0

# A service that dies right after it was started must not count as active: it has to stay so this long.
SETTLE_SECONDS = 1.0
ACTIVE_SECONDS = 60.0

# Words by which programs complain; what else they log around it is of no help to whoever reads one line.
TELLING = re.compile(r"\b(alert|error|fatal|failed|unknown|invalid|did not|cannot)\b", re.IGNORECASE)


@dataclass(frozen=True)
class UnitState:
    """Some properties of a unit, as `systemctl show` names them."""

    name: str
    load: str
    active: str
    sub: str
    enabled: str
    condition: bool
    restarts: int

    @property
    def exists(self) -> bool:
        """Whether systemd knows a unit file of this name."""
        return self.load not in ("not-found", "masked")

    @property
    def wanted(self) -> bool:
        """Whether it runs, or would at the next boot."""
        return self.active not in ("inactive", "failed") or self.enabled == "enabled"

    @property
    def running(self) -> bool:
        """Active, or rightly skipped because a condition of the unit does not hold on this machine."""
        return self.active == "active" or (self.active == "inactive" and not self.condition)


def show(system: System, names: Sequence[str]) -> dict[str, UnitState]:
    """The states of `names`, in one call."""
    if not names:
        return {}
    properties = "Id,LoadState,ActiveState,SubState,UnitFileState,ConditionResult,ConditionTimestampMonotonic,NRestarts"
    result = system.run(["systemctl", "show", "--property", properties, *names], timeout=30)
    if not result.ok:
        raise StepError("units", f"systemctl show failed ({result.last_line})", "look at the state of systemd")
    blocks = [block for block in result.output.strip().split("\n\n") if block.strip()]
    return {name: _state(name, block) for name, block in zip(names, blocks, strict=False)}


def _state(name: str, block: str) -> UnitState:
    values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    # ConditionResult is "no" for a unit that was never started: only a judged condition counts.
    judged = values.get("ConditionTimestampMonotonic", "0") not in ("", "0")
    return UnitState(
        name=name,
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        enabled=values.get("UnitFileState", ""),
        condition=values.get("ConditionResult") == "yes" or not judged,
        restarts=int(values.get("NRestarts") or 0),
    )


def stop_absent(system: System, names: Sequence[str]) -> list[str]:
    """Stop and disable units that this server must not run; the names of those that were."""
    states = show(system, names)
    wrong = [name for name, state in states.items() if state.exists and state.wanted]
    if wrong:
        _systemctl(system, "disable", "--now", *wrong)
    return wrong


def enable(system: System, units: Sequence[UnitEntry]) -> list[str]:
    """Enable what does not start at boot yet; the names."""
    states = show(system, [unit.name for unit in units])
    wrong = [name for name, state in states.items() if state.enabled == "disabled"]
    if wrong:
        _systemctl(system, "enable", *wrong)
    return wrong


def bring(system: System, units: Sequence[UnitEntry], changed: Iterable[str]) -> list[str]:
    """Start, reload or restart what `changed` paths concern, in the manifest's order; what was done, as text."""
    paths = tuple(changed)
    states = show(system, [unit.name for unit in units])
    done = []
    for unit in units:
        verb = _verb(unit, states[unit.name], paths)
        if verb:
            _systemctl(system, verb, unit.name)
            done.append(f"{verb} {unit.name}")
    return done


def _verb(unit: UnitEntry, state: UnitState, paths: tuple[str, ...]) -> str | None:
    if state.active != "active":
        # "failed" and rate limited is where a bad bundle leaves a unit: restart clears and starts it.
        return None if state.running and not any(unit.concerns(path) for path in paths) else "restart"
    concerned = [path for path in paths if unit.concerns(path)]
    if not concerned:
        return None
    # Environment and drop-ins are read when a process starts; a reload would silently keep the old ones.
    started = ("/etc/systemd/system/", "/etc/default/")
    return "restart" if any(path.startswith(started) for path in concerned) else unit.action


def _systemctl(system: System, *words: str) -> Result:
    result = system.run(["systemctl", "--no-ask-password", *words], timeout=SYSTEMCTL_SECONDS)
    if not result.ok:
        unit = words[-1]
        why = last_words(system, unit) or result.last_line
        raise StepError("units", f"systemctl {' '.join(words)} failed: {why}", f"see `journalctl -u {unit}`")
    return result


def last_words(system: System, unit: str) -> str:
    """The last line by which a unit complained in the last minute, or its last line; empty when it was silent."""
    # Not --unit: that adds systemd's own lines about the unit, which never say why.
    command = ["journalctl", f"_SYSTEMD_UNIT={unit}", "--since=-1min", "--lines=50", "--output=cat", "--no-pager"]
    result = system.run([*command, "--quiet"], timeout=10)
    lines = [line.strip() for line in result.output.splitlines() if line.strip()] if result.ok else []
    return ([line for line in lines if TELLING.search(line)] or lines or [""])[-1]


def await_active(system: System, units: Sequence[UnitEntry], seconds: float = ACTIVE_SECONDS) -> None:
    """Wait until all units run and have stayed so for a second. Raises StepError naming those that do not."""
    names = [unit.name for unit in units]
    since: float | None = None
    restarts: dict[str, int] = {}
    lame: list[str] = []

    def settled() -> bool:
        nonlocal since, restarts, lame
        states = show(system, names)
        lame = [f"{name} ({state.active}/{state.sub})" for name, state in states.items() if not state.running]
        counts = {name: state.restarts for name, state in states.items()}
        if lame or counts != restarts:
            since, restarts = system.clock(), counts
            return False
        return since is not None and system.clock() - since >= SETTLE_SECONDS

    if not system.wait(settled, seconds=seconds):
        unit = lame[0].split(" ")[0] if lame else names[0]
        why = last_words(system, unit)
        what = f"{', '.join(lame)} not active" if lame else "units keep restarting"
        problem = f"{what} after {seconds:g} s" + (f": {why}" if why else "")
        raise StepError("verify", problem, f"see `journalctl -u {unit}`")


def reload_definitions(system: System) -> None:
    """Make systemd read unit files again."""
    _systemctl(system, "daemon-reload")
