"""Every drill, by name, in the order in which `--all` runs them: the gentle ones first."""

from __future__ import annotations

from rehearsal.drills import application_drills, database_drills, edge_drills
from rehearsal.drills.drill import Drill

LAST = ("both-replicas-lost", "server-recreated", "all-cold")

_ALL = (*database_drills.DRILLS, *edge_drills.DRILLS, *application_drills.DRILLS)
DRILLS: dict[str, Drill] = {drill.name: drill for drill in sorted(_ALL, key=lambda drill: drill.name in LAST)}
