"""Bring the server to the bundle that the bucket holds: fetch, verify, check, swap, reload, verify, or roll back.

Nothing that runs is touched before every object and secret is there, every digest is right and every native check
of a changed unit has accepted the staged files. Running it twice changes nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import audit, database_package, fetch, packages, units
from .errors import EXIT_BUNDLE, EXIT_CHECK, EXIT_NOT_ROLLED_BACK, EXIT_ROLLED_BACK, StepError
from .identity import Identity
from .lock import locked
from .manifest import Manifest, UnitEntry, parse
from .swap import Plan, Swap, applied, compare
from .system import System

PROGRAMS = "/usr/local/lib/tripod/host"
SYSUSERS = "/etc/sysusers.d/"
TMPFILES = "/etc/tmpfiles.d/"

# AppArmor lets mysqld read /var/tmp (abstractions/user-tmp) but not the rest of /var/lib: the staged my.cnf must be
# judged by a mysqld that is confined as it will be.
STAGING = "/var/tmp"  # noqa: S108  a fresh directory of mode 0700 below it, made by mkdtemp

CHECK_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """What an apply did: the bundle's digest, the paths and the actions, in order."""

    digest: str
    paths: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For people, several lines."""
        if not self.paths and not self.actions:
            return f"nothing to change ({self.digest[:19]})"
        lines = [f"applied {self.digest[:19]}: {len(self.paths)} files"]
        return "\n".join(lines + [f"  {path}" for path in self.paths] + [f"  {action}" for action in self.actions])


@dataclass(frozen=True)
class Apply:
    """One apply on one server. `s3` and `ssm` are boto3 clients.

    `reexec` is called with the staging tree, `expect` and the lock's file descriptor when the bundle brings other host
    programs than those that run; on a server it does not return: the staged programs take over.
    """

    system: System
    identity: Identity
    s3: Any
    ssm: Any
    reexec: Callable[[Path, str, int], None] | None = None
    expect: str | None = None
    by: audit.Asker = "command"

    def run(self, staged: Path | None = None) -> Outcome:
        """Apply the bundle. Raises StepError; its code says how the server was left."""
        with locked(self.system) as lock:
            staging = staged or self._staging()
            before = self._digest()
            try:
                outcome = self._run(staging, lock, fresh=staged is None)
            except StepError as error:
                self._audit(before, error=str(error))
                raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            if outcome.paths or outcome.actions or outcome.digest != before:
                self._audit(before, outcome.paths, outcome.actions)
            return outcome

    def _audit(
        self, before: str | None, paths: Sequence[str] = (), actions: Sequence[str] = (), error: str | None = None
    ) -> None:
        names = {"before": before, "digest": self._digest()}
        audit.write(self.system, self.identity.server, by=self.by, paths=paths, actions=actions, error=error, **names)

    def _digest(self) -> str | None:
        """The digest of the bundle that is applied, as far as its manifest can be read."""
        try:
            manifest: dict[str, Any] = json.loads(applied(self.system) or "{}")
        except ValueError:
            return None
        return manifest.get("digest")

    def _staging(self) -> Path:
        parent = self.system.path(STAGING)
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="tripod-apply-", dir=parent))

    def _run(self, staging: Path, lock: int, *, fresh: bool) -> Outcome:
        previous = self._previous()
        self._recover(previous)
        manifest = self._stage(staging) if fresh else self._take_over(staging)
        self._hand_over(staging, manifest, lock)
        installed = packages.install(self.system, manifest.packages)
        self._make_users(staging, manifest)
        plan = compare(manifest, previous, staging, self.system)
        self._check(manifest, plan, staging)
        actions = [f"installed {name}" for name in installed]
        actions += self._change(manifest, previous, plan, staging)
        if previous and database_package.PACKAGE in set(previous.packages) - set(manifest.packages):
            # Its configuration is gone; the package stays, with its upgrades, and so do the data.
            database_package.guard(self.system)
        return Outcome(manifest.digest, plan.paths, tuple(actions))

    def _previous(self) -> Manifest | None:
        text = applied(self.system)
        if text is None:
            return None
        return parse(text, stack=self.identity.stack, server=self.identity.server, subject="the applied manifest")

    def _recover(self, previous: Manifest | None) -> None:
        swap = Swap(self.system)
        if not swap.interrupted:
            return
        print(f"{self.identity.server}: an earlier apply was cut off; rolling it back first", file=sys.stderr)
        paths = swap.roll_back()
        units.reload_definitions(self.system)
        if previous:
            units.bring(self.system, previous.units, paths)

    def _stage(self, staging: Path) -> Manifest:
        manifest = fetch.fetch_manifest(self.s3, self.identity)
        if self.expect and manifest.digest != self.expect:
            problem = f"the bucket holds {manifest.digest}, not the expected {self.expect}"
            raise StepError("bundle", problem, "run `pulumi up` again, or leave out --expect", EXIT_BUNDLE)
        fetch.stage_files(self.s3, self.identity, manifest, staging)
        fetch.stage_secrets(self.ssm, manifest, staging)
        (staging / "manifest.json").write_text(manifest.text)
        return manifest

    def _take_over(self, staging: Path) -> Manifest:
        text = (staging / "manifest.json").read_text()
        manifest = parse(text, stack=self.identity.stack, server=self.identity.server, subject="the staged manifest")
        fetch.verify_files(manifest, staging)
        return manifest

    def _hand_over(self, staging: Path, manifest: Manifest, lock: int) -> None:
        if self.reexec is None:
            return
        own = Path(__file__).parent
        staged = {path: staging / path.lstrip("/") for path in manifest.files if path.startswith(f"{PROGRAMS}/")}
        if any(not _same(own / file.name, file) for file in staged.values()):
            self.reexec(staging, self.expect or "", lock)

    def _make_users(self, staging: Path, manifest: Manifest) -> None:
        # Files are given to users of their own, so the users come first; creating one that exists does nothing.
        for path in manifest.files:
            if path.startswith(SYSUSERS) and not _same(self.system.path(path), staging / path.lstrip("/")):
                result = self.system.run(["systemd-sysusers", str(staging / path.lstrip("/"))])
                if not result.ok:
                    raise StepError("apply", f"{path}: {result.last_line}", "mend the file's template", EXIT_CHECK)

    def _check(self, manifest: Manifest, plan: Plan, staging: Path) -> None:
        for unit in manifest.units:
            concerned = [path for path in plan.changed if unit.concerns(path)]
            if not unit.check or not concerned:
                continue
            command = [word.replace("{root}", str(staging)) for word in unit.check]
            result = self.system.run(command, timeout=CHECK_SECONDS)
            if not result.ok:
                verdict = _verdict(result.output).replace(str(staging), "") or result.last_line
                problem = f"{unit.name}: {_program(command)} refuses {', '.join(_few(concerned))}: {verdict}"
                mend = "mend the configuration and run `pulumi up`; nothing was changed here"
                raise StepError("check", problem, mend, EXIT_CHECK)

    def _change(self, manifest: Manifest, previous: Manifest | None, plan: Plan, staging: Path) -> list[str]:
        wanted = {unit.name for unit in manifest.units}
        gone = [unit.name for unit in previous.units if unit.name not in wanted] if previous else []
        every = list(manifest.units) + [unit for unit in (previous.units if previous else ()) if unit.name in gone]
        before = units.show(self.system, [unit.name for unit in every])
        swap = Swap(self.system)
        try:
            actions = [f"stop {n}" for n in units.stop_absent(self.system, [*manifest.absent_units, *gone])]
            if plan.paths:
                swap.begin(plan, manifest, staging)
            actions += self._activate(manifest, plan)
            units.await_active(self.system, manifest.units)
        except (StepError, OSError, LookupError) as error:
            ran = [unit for unit in every if before[unit.name].active == "active"]
            self._roll_back(swap, plan, ran, error)
        swap.commit(manifest)
        return actions

    def _activate(self, manifest: Manifest, plan: Plan) -> list[str]:
        if any(path.startswith("/etc/systemd/system/") for path in plan.paths):
            units.reload_definitions(self.system)
        for path in plan.changed:
            if path.startswith(TMPFILES):
                self.system.run(["systemd-tmpfiles", "--create", str(self.system.path(path))])
        actions = [f"enable {name}" for name in units.enable(self.system, manifest.units)]
        return actions + units.bring(self.system, manifest.units, plan.paths)

    def _roll_back(self, swap: Swap, plan: Plan, ran: Sequence[UnitEntry], cause: Exception) -> None:
        why = f"{cause.step}: {cause.problem}" if isinstance(cause, StepError) else str(cause)
        mend = cause.mend if isinstance(cause, StepError) else "see the journal of this server"
        try:
            if swap.interrupted:
                swap.roll_back()
            units.reload_definitions(self.system)
            units.bring(self.system, ran, plan.paths)
            units.await_active(self.system, ran)
        except (StepError, OSError, LookupError) as error:
            problem = f"{why}; rolling back failed too ({error})"
            raise StepError("roll back", problem, mend, EXIT_NOT_ROLLED_BACK) from cause
        raise StepError("apply", f"{why}; rolled back to what was there before", mend, EXIT_ROLLED_BACK) from cause


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def _few(paths: Sequence[str]) -> list[str]:
    return [*paths[:2], f"and {len(paths) - 2} more"] if len(paths) > 3 else list(paths)


def _program(command: Sequence[str]) -> str:
    """The checker's name: not `env`, not the variables that it sets."""
    return next((word for word in command if word != "env" and "=" not in word), command[0])


def _verdict(output: str) -> str:
    """The line that says what is wrong: checkers end with a summary that does not."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if units.TELLING.search(line)]
    return " ".join((telling or lines[-1:])[:1])[:500]
