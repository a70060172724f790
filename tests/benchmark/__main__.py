"""`python -m tests.benchmark`: the program on plain mocks with 3 and with 100 servers, each in a fresh process.

And the plan of a restore, with few and with many binary logs.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.benchmark import restore

# The project's own limits, on a two-core machine: seconds for the whole process, imports included.
LIMITS = {3: 2.0, 100: 25.0}
# How much longer a resource may take in the large stack than in the small one.
GROWTH = 1.25
# Evaluations that are timed after the first; one alone is at the mercy of what else the machine does.
ROUNDS = 5


@dataclass(frozen=True)
class Measurement:
    """One process. `total` is from its start to the end of its first evaluation, imports included, in seconds.

    `evaluation` is the median of those after it, when everything is imported: the SDK imports each resource's class at
    first use.
    """

    servers: int
    total: float
    evaluation: float
    resources: int

    @property
    def per_resource(self) -> float:
        """Milliseconds of evaluation."""
        return 1000 * self.evaluation / self.resources


def servers(count: int) -> list[dict[str, object]]:
    """The reference preset, and application servers beyond it."""
    first: list[list[str]] = [["load_balancer", "app", "database"], ["app", "database"], ["database", "monitoring"]]
    roles = first + [["app"]] * (count - len(first))
    return [{"name": f"server-{number}", "roles": role} for number, role in enumerate(roles, start=1)]


def measure(count: int) -> Measurement:
    """Evaluate a stack of `count` servers in a new interpreter."""
    command = [sys.executable, "-m", "tests.benchmark", "--child", str(count), str(time.monotonic())]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measurement(servers=count, **json.loads(run.stdout))


def child(count: int, started: float) -> None:
    """What the new interpreter does: import, evaluate, evaluate again, and print the times."""
    from tests.program.plain_mocks import run

    configured = {"servers": servers(count)}
    run(configured=configured)
    first = time.monotonic()
    again = []
    for _ in range(ROUNDS):
        # What is left of an evaluation is no part of the next one.
        gc.collect()
        begin = time.monotonic()
        resources = run(configured=configured).get_registered_resources()
        again.append(time.monotonic() - begin)
    times = {"total": first - started, "evaluation": statistics.median(again), "resources": len(resources)}
    sys.stdout.write(json.dumps(times))


def main() -> int:
    """Print both sizes; the exit code is 1 when a limit is not kept."""
    found = [measure(count) for count in LIMITS]
    sys.stdout.write("servers  resources   total   limit  evaluation  per resource\n")
    for one in found:
        sys.stdout.write(
            f"{one.servers:7}  {one.resources:9}  {one.total:5.2f}s  {LIMITS[one.servers]:5.1f}s"
            f"  {one.evaluation:9.2f}s  {one.per_resource:9.2f} ms\n"
        )
    growth = found[-1].per_resource / found[0].per_resource
    sys.stdout.write(f"A resource takes {growth:.2f} times as long in the large stack (limit {GROWTH:.2f}).\n")
    kept = growth <= GROWTH and all(one.total <= LIMITS[one.servers] for one in found)
    return 0 if restore.main() and kept else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), float(sys.argv[3]))
    else:
        sys.exit(main())
