"""Reads haproxy.cfg back into sections, as far as the tests need it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

KEYWORDS = ("global", "defaults", "frontend", "backend", "listen")


@dataclass
class Section:
    """One section: its kind, its name and its lines, each split into words."""

    kind: str
    name: str
    lines: list[list[str]] = field(default_factory=list)

    def all(self, *prefix: str) -> list[list[str]]:
        """The words after `prefix` of every line that begins with it."""
        return [line[len(prefix) :] for line in self.lines if line[: len(prefix)] == list(prefix)]

    def one(self, *prefix: str) -> list[str]:
        """The only such line."""
        (found,) = self.all(*prefix)
        return found

    @property
    def servers(self) -> dict[str, str]:
        """Name and address of every server line."""
        return {words[0]: words[1] for words in self.all("server")}


def parse(text: str) -> dict[str, Section]:
    """Sections by name ("global" and "defaults" by their kind when they have none)."""
    sections: dict[str, Section] = {}
    current: Section | None = None
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        words = list(lexer)
        if not words:
            continue
        if words[0] in KEYWORDS and not line.startswith(" "):
            current = Section(words[0], words[1] if len(words) > 1 else "")
            name = current.name or current.kind
            assert name not in sections, f"two sections {name}"
            sections[name] = current
        else:
            assert current is not None, f"outside of a section: {line}"
            current.lines.append(words)
    return sections
