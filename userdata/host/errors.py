"""Failures that an operator has to read: what happened at which step, and how to mend it."""

from __future__ import annotations

# Exit codes of `tripod apply` and `tripod boot` (sysexits.h where one fits).
EXIT_FAILED = 1
EXIT_UNHEALTHY = 1
EXIT_USAGE = 2
EXIT_BUNDLE = 10
EXIT_SECRET = 11
EXIT_PACKAGES = 12
EXIT_CHECK = 13
EXIT_ROLLED_BACK = 14
EXIT_NOT_ROLLED_BACK = 15
EXIT_VOLUME = 16
EXIT_LOCKED = 75


class StepError(Exception):
    """One step failed. `untouched` says whether the running services are as they were before."""

    def __init__(self, step: str, problem: str, mend: str, code: int = EXIT_FAILED) -> None:
        self.step = step
        self.problem = problem
        self.mend = mend
        self.code = code
        super().__init__(f"{step}: {problem}; {mend}")

    def line(self, server: str) -> str:
        """The one line for people: server, step, what is wrong, the mend."""
        return f"{server}: {self}"
