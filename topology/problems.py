"""What is wrong with a configuration, all of it at once, in words that say how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topology.names import PROJECT


@dataclass(frozen=True)
class Problem:
    """One fault: the configuration key, what was found, and what to write instead."""

    key: str
    found: str
    mend: str

    def __str__(self) -> str:
        return f"{self.key}: {self.found}. {self.mend}"

    @property
    def line(self) -> str:
        """The same with the key as the stack's file has it: its namespace first, unless it is no key of ours."""
        return str(self) if self.key.startswith("(") or ":" in self.key else f"{PROJECT}:{self}"


class ConfigurationError(Exception):
    """A stack's configuration cannot be used. `problems` is never empty; the message lists them all."""

    def __init__(self, problems: Iterable[Problem], stack: str | None = None) -> None:
        self.problems = tuple(problems)
        self.stack = stack
        where = f"stack '{stack}'" if stack else "this stack"
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"The configuration of {where} has {count}:"]
        lines += [f"  - {problem.line}" for problem in self.problems]
        super().__init__("\n".join(lines))
