"""The page of one running stack: its observer, its buttons and its web server, put together."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rehearsal import report
from rehearsal.daemon import Daemon
from rehearsal.network import Fabric
from rehearsal.page.actions import Actions
from rehearsal.page.observer import Observer
from rehearsal.page.site import Site
from rehearsal.page.sources import fetch
from rehearsal.reconciler import Reconciler
from rehearsal.shell import RehearsalError
from topology.model import Topology

Handler = Callable[[Mapping[str, Any]], Any]


class LivePage:
    """Serves on `listener`. `handlers` are the supervisor's own, by name."""

    def __init__(
        self,
        listener: socket.socket,
        stack: str,
        fabric: Fabric,
        reconciler: Reconciler,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._stack = stack
        self._topology: Topology | None = None
        daemon = Daemon(stack)

        def status() -> report.Status:
            return report.build(stack, handlers["status"]({}), daemon.ca_file, complete=daemon.complete)

        observer = Observer(
            status=status,
            servers=lambda: list(handlers["instances"]({})["servers"]),
            elastic=lambda: reconciler.view.elastic,
            severed=fabric.severed,
            get=fetch(fabric),
        )
        actions = Actions(
            lambda: {name: host.machine for name, host in reconciler.hosts.items()},
            handlers["power"],
            handlers["fault"],
        )
        self._site = Site(listener, self.topology, observer, actions)
        self._site.start()

    def draw(self, project: Path) -> None:
        """Draw the stack that a project's files describe from now on. Raises RehearsalError with their faults."""
        from rehearsal.up import read_topology  # noqa: PLC0415  (`up` starts the supervisor that imports this)

        self._topology = read_topology(project, self._stack)

    def topology(self) -> Topology:
        """What is drawn. Raises RehearsalError before the first draw()."""
        if self._topology is None:
            raise RehearsalError("the stack is only just starting: load the page again")
        return self._topology

    def close(self) -> None:
        """Stop answering."""
        self._site.close()
