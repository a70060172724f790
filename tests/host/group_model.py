"""What the model of Group Replication consists of: its members and groups."""

from __future__ import annotations

from dataclasses import dataclass, field

from userdata.host.database_state import View

Gtid = tuple[str, int]


@dataclass
class Node:
    name: str
    number: int
    up: bool = True
    state: str = "OFFLINE"
    data: dict[Gtid, int] = field(default_factory=dict)
    """What each transaction wrote."""
    unsynced: set[Gtid] = field(default_factory=set)
    """Received from the group, and not on the disk yet."""
    view: View = field(default_factory=View)
    """What it remembers outside a group."""
    group: Group | None = None
    read_only: bool = True
    fenced: bool = False
    intended: str = ""
    provisioned: bool = False
    alone_since: float | None = None
    forced: bool = False
    """An operator lets it lead with what it has."""
    unsent: bool = False
    """Its mysqld may still hold messages of a group that it left with an error."""


@dataclass(eq=False)
class Group:
    """One group: `members` is its present view, the first of them its primary."""

    fixed: int
    name: str
    counter: int = 0
    members: list[Node] = field(default_factory=list)

    @property
    def view(self) -> View:
        """As its members report it."""
        names = tuple(member.name for member in self.members)
        return View(f"{self.fixed}:{self.counter}", names, names[0] if names else None)


def runs(numbers):
    """Sorted numbers as inclusive intervals."""
    result = []
    for number in sorted(numbers):
        if result and number == result[-1][1] + 1:
            result[-1] = (result[-1][0], number)
        else:
            result.append((number, number))
    return tuple(result)
