"""Waiting until a stack is what was asked for: every server ready with its bundle, one writer, a site that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operations.aws import Aws
from operations.command import Runner
from operations.deadline import Deadline
from operations.errors import CommandFailedError, OperationError, ServerUnreachableError
from operations.fleet import Fleet, FleetServer, find_fleet
from operations.journal import last_words
from operations.progress import Progress
from operations.rollout import Rollout, RolloutStoppedError, short
from operations.site import ask_site, outside_problem
from operations.state import ServerState, read_states
from operations.survey import Observation, group_problems, survey
from operations.targets import Targets
from topology.names import Role

# How long a server may report one and the same failure of its first start.
FAILURE_SECONDS = 60.0

_POLL_SECONDS = 3.0
_GROUP = "database group"
_SITE = "site"


class VerificationFailedError(OperationError):
    """The stack is not healthy. The message says what is missing, since when, and what the servers last said."""


@dataclass
class Verification:
    """One verification of `fleet`. `expected` holds the digests that servers must have applied, where known.

    `site_host` (empty: whatever name) and `site_path` say what to ask the load balancers for; `outside_url`, if
    given, is also asked from this machine.
    """

    aws: Aws
    runner: Runner
    fleet: Fleet
    progress: Progress
    deadline: Deadline
    expected: Mapping[str, str]
    site_host: str = ""
    site_path: str = "/"
    outside_url: str | None = None
    _seen: dict[str, Observation] = field(init=False, default_factory=dict)
    _targets: Targets = field(init=False)
    _failures: dict[tuple[str, str], float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._targets = Targets(self.aws, self.fleet.stack)

    def run(self) -> None:
        """Return when the stack is healthy. Raises VerificationFailedError, or OperationError when AWS refuses."""
        self._wait_until_ready()
        self._roll_out()
        self._wait_until_healthy()
        self._wait_until_site_answers()

    def _wait_until_ready(self) -> None:
        if self.deadline.poll(self._all_ready, _POLL_SECONDS) is None:
            raise self._timeout("not every server has reported ready")

    def _all_ready(self) -> bool | None:
        states = read_states(self.aws, self.fleet)
        self._refresh_instances()
        waiting = [server for server in self.fleet.servers if not self._ready(server, states.get(server.name))]
        return None if waiting else True

    def _ready(self, server: FleetServer, state: ServerState | None) -> bool:
        if server.state not in ("running", "pending"):
            raise self._failure(f"the instance of {server.name} is {server.state}. Start it, then repeat.", server.name)
        if state is None:
            self.progress.report(server.name, f"instance {server.state}, has not reported yet")
            return False
        if state.failed and state.digest is None:
            return self._first_start_failed(server, state)
        if state.failed:
            # It has a bundle in place, and the cause may be mended since: the roll-out tries again.
            self.progress.report(server.name, f"failed earlier at step '{state.step}': {state.error}")
            return True
        if state.digest is None:
            self.progress.report(server.name, f"step '{state.step}'")
            return False
        done = state.ok and state.step == "ready"
        text = "ready" if done else f"step '{state.step}', {state.error}" if state.error else f"step '{state.step}'"
        self.progress.report(server.name, f"{text}, bundle {short(state.digest)}")
        return True

    def _first_start_failed(self, server: FleetServer, state: ServerState) -> bool:
        # A server tries its first start again by itself, and what failed may only be slow (a new role's permissions
        # take seconds to reach every AWS service). The same error for longer is final.
        error = state.error or "no reason given"
        since = self._failures.setdefault((server.name, error), self.deadline.elapsed)
        self.progress.report(server.name, f"failed at step '{state.step}', will try again: {error}")
        if self.deadline.elapsed - since >= FAILURE_SECONDS:
            raise self._failure(f"{server.name} keeps failing at step '{state.step}': {error}", server.name)
        return False

    def _refresh_instances(self) -> None:
        # A server that stops, or gets its address, while this waits.
        if any(server.state != "running" for server in self.fleet.servers):
            self.fleet = find_fleet(self.aws, self.fleet.stack)

    def _roll_out(self) -> None:
        states = read_states(self.aws, self.fleet)
        stale = []
        for server in self.fleet.servers:
            state = states.get(server.name)
            wanted = self.expected.get(server.name)
            outdated = state is not None and wanted is not None and state.digest != wanted
            if outdated or (state is not None and state.failed):
                stale.append(server)
        try:
            Rollout(self.runner, self.fleet, self._targets, self.progress, self.deadline).run(stale, self.expected)
        except RolloutStoppedError as error:
            raise self._failure(str(error), error.culprit) from error

    def _wait_until_healthy(self) -> None:
        if self.deadline.poll(self._all_healthy, _POLL_SECONDS) is None:
            raise self._timeout("not every server is healthy")

    def _all_healthy(self) -> bool | None:
        self._seen = survey(self.runner, self.fleet)
        healthy = True
        for name, seen in self._seen.items():
            if seen.status is not None and seen.status.error is not None:
                raise self._failure(f"{name} could not apply its bundle: {seen.status.error}", name)
            problems = list(seen.problems)
            wanted = self.expected.get(name)
            if seen.status is not None and wanted is not None and seen.status.digest != wanted:
                problems.append(f"it has applied {short(seen.status.digest)}, not {short(wanted)}")
            self.progress.report(name, f"waiting: {'; '.join(problems)}" if problems else "healthy")
            healthy = healthy and not problems
        group = group_problems(self.fleet, self._seen)
        if self.fleet.with_role(Role.DATABASE):
            self.progress.report(_GROUP, f"waiting: {'; '.join(group)}" if group else "all ONLINE, one writer")
        return True if healthy and not group else None

    def _wait_until_site_answers(self) -> None:
        if self.deadline.poll(self._site_answers, _POLL_SECONDS) is None:
            raise self._timeout("the site does not answer")

    def _site_answers(self) -> bool | None:
        problems, notes = [], []
        for server in self.fleet.with_role(Role.LOAD_BALANCER):
            try:
                answer = ask_site(self.runner, server, self.site_host, self.site_path)
            except (ServerUnreachableError, CommandFailedError) as error:
                problems.append(str(error))
                continue
            if answer.problem:
                problems.append(f"{server.name}: {answer.problem}")
            elif answer.note:
                notes.append(f"{server.name}: {answer.note}")
            problems += [f"{server.name}: {problem}" for problem in self._targets.problems(server)]
        if not problems and self.outside_url is not None:
            problem = outside_problem(self.aws, self.fleet.stack, self.outside_url)
            if problem:
                problems.append(f"from here: {problem}")
        well = "; ".join(["answers on every load balancer", *notes])
        self.progress.report(_SITE, f"waiting: {'; '.join(problems)}" if problems else well)
        return None if problems else True

    def _timeout(self, what: str) -> VerificationFailedError:
        return self._failure(f"{what} after {self.deadline.elapsed:.0f} s.", None)

    def _failure(self, headline: str, culprit: str | None) -> VerificationFailedError:
        lines = [f"Stack '{self.fleet.stack}' is not verified: {headline}"]
        done = ("healthy", "ready,", "applied and healthy", "all ONLINE", "answers")
        guilty: list[FleetServer] = []
        for subject in [*(server.name for server in self.fleet.servers), _GROUP, _SITE]:
            standing = self.progress.standing(subject)
            if standing is None or standing[0].startswith(done):
                continue
            lines.append(f"  {subject}: {standing[0]} (for {standing[1]:.0f} s)")
            guilty += [server for server in self.fleet.servers if server.name == subject]
        if culprit is not None:
            guilty = [self.fleet.server(culprit)]
        elif not guilty:
            # The site is down although every server says it is well: the load balancers know why.
            guilty = list(self.fleet.with_role(Role.LOAD_BALANCER))
        for server in guilty:
            seen = self._seen.get(server.name)
            lines.append(last_words(self.aws, self.runner, server, seen.status if seen else None))
        return VerificationFailedError("\n".join(lines))
