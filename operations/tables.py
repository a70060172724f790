"""Tables, for terminals and as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Logs have no width of their own; this fits a wide terminal and a CI log.
LOG_WIDTH = 120


def console() -> Console:
    """Standard output: as wide as the terminal, LOG_WIDTH without one."""
    width = None if sys.stdout.isatty() else LOG_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)


def terminal_table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], whole: Collection[str] = ()
) -> Table:
    """A rich table. Cells are plain text: nothing in them is markup. The columns `whole` are never wrapped."""
    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD
    )
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header in whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of GitHub's Markdown, ending in a newline."""
    lines = [_line(headers), _line(["---"] * len(headers)), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
