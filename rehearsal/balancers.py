"""Makes the emulated API's Network Load Balancers real: a node in each of their subnets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from rehearsal.balancer_node import Node
from rehearsal.balancer_spec import NodeSpec
from rehearsal.network import Fabric
from rehearsal.proxy_protocol import Endpoint
from rehearsal.target_health import State, worst

_log = logging.getLogger(__name__)


class Balancers:
    """The nodes that run. apply() is for one thread; states() for any."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._lock = threading.Lock()
        self._nodes: dict[str, tuple[NodeSpec, Node]] = {}

    def reserve(self, wanted: Mapping[str, NodeSpec]) -> None:
        """Make the addresses of nodes known to the fabric, so that rules can name them."""
        for name, spec in wanted.items():
            if name not in self._nodes:
                self._fabric.reserve(name, spec.address)

    def apply(self, wanted: Mapping[str, NodeSpec]) -> bool:
        """Make the nodes those wanted; whether any was taken away (and its rules with it).

        Raises RehearsalError or OSError when one cannot be made; the next call tries again.
        """
        gone = [
            name
            for name, (spec, _) in self._nodes.items()
            if name not in wanted or spec.address != wanted[name].address
        ]
        for name in gone:
            with self._lock:
                _, node = self._nodes.pop(name)
            node.close()
            self._fabric.forget(name)
            _log.info("node %s is gone", name)
        for name, spec in wanted.items():
            known = self._nodes.get(name)
            if known is None:
                node = Node(self._fabric.plug(name, spec.address, spec.subnet_cidr), spec.address)
                node.start()
                with self._lock:
                    self._nodes[name] = (replace(spec, listeners={}), node)
                _log.info("node %s: %s, %s", name, spec.address, spec.public)
            elif known[0].listeners == spec.listeners:
                continue
            else:
                node = known[1]
            node.configure(spec.listeners)
            with self._lock:
                self._nodes[name] = (spec, node)
        return bool(gone)

    def states(self) -> dict[tuple[str, Endpoint], State]:
        """State of every target by (ARN of its group, target): the worst that a node sees."""
        with self._lock:
            nodes = [node for _, node in self._nodes.values()]
        seen: dict[tuple[str, Endpoint], set[State]] = {}
        for node in nodes:
            for key, state in node.states().items():
                seen.setdefault(key, set()).add(state)
        return {key: worst(states) for key, states in seen.items()}

    def close(self) -> None:
        """End every node. Their namespaces go with the fabric."""
        for name in list(self._nodes):
            with self._lock:
                _, node = self._nodes.pop(name)
            node.close()
            self._fabric.forget(name)
