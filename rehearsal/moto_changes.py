"""What a cloud changes in moto's classes, so that closing it leaves them as they were."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any

_ABSENT = object()


class Changes:
    """Replaced attributes and entries of moto. They hold for the whole process, until undo()."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def attribute(self, owner: Any, name: str, new: Any) -> None:
        """Let `owner.name` be `new`; a class that only inherits the name loses it again."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, new)
        if before is _ABSENT:
            self._undo.callback(delattr, owner, name)
        else:
            self._undo.callback(setattr, owner, name, before)

    def entry(self, owner: MutableMapping[str, Any], key: str, new: Any) -> None:
        """Let `owner[key]` be `new`."""
        before = owner.get(key, _ABSENT)
        owner[key] = new
        if before is _ABSENT:
            self._undo.callback(owner.pop, key, None)
        else:
            self._undo.callback(owner.__setitem__, key, before)

    def undo(self) -> None:
        """Take every change back, the last one first."""
        self._undo.close()
