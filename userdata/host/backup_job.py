"""What a backup command that runs for long tells meanwhile: its journal, and the file that operators look at."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

# Of a text in a job's file. JSON writes what is not ASCII six times as long, and the error at most is that.
TEXT_LIMIT = 2_000

log = logging.getLogger("tripod-backup")


class Job:
    """Tells the journal and, where there is one, the job's file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def report(self, step: str, *, done: bool = False, error: str | None = None, result: Any = None) -> None:
        """One step, or the end. The file has the beginning of a long text; the journal has all."""
        log.info("%s", error or step)
        if self._file:
            said: dict[str, Any] = {"step": self._short(step), "done": done, "error": error and self._short(error)}
            said["result"] = result and {key: self._short(value) for key, value in result.items()}
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(said))
            new.replace(self._file)

    def _short(self, value: Any) -> Any:
        if not (isinstance(value, str) and len(value) > TEXT_LIMIT and self._file):
            return value
        # The file is called as its unit is.
        return f"{value[:TEXT_LIMIT]}... (all {len(value)} characters: journalctl -u {self._file.stem})"
