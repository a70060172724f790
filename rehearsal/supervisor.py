"""The process that owns a stack's rehearsal: emulated AWS, network, hosts and the way in. One per stack."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rehearsal import forward, tether
from rehearsal.alarms import Alarms, Sample
from rehearsal.aws_metrics import status_checks, target_health
from rehearsal.cloud import Cloud
from rehearsal.control import Answer, Control, Handler
from rehearsal.firewall_rules import API_ADDRESS, METADATA_ADDRESS
from rehearsal.machine import Machine, Power
from rehearsal.metadata import Metadata
from rehearsal.network import Fabric
from rehearsal.notifications import Notifications
from rehearsal.page.live import LivePage
from rehearsal.paths import StackPaths
from rehearsal.reconciler import Host, Reconciler
from rehearsal.run_command import RunCommand
from rehearsal.shell import RehearsalError
from rehearsal.target_health_patch import States
from rehearsal.view import Instance
from topology.names import TAG_ROLES

HTTP, HTTPS = 80, 443
STATUS_TIMEOUT = 15.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a supervisor is started with, as JSON on its command line. `http_port` and `page_port` 0 are none."""

    stack: str
    region: str
    network_cidr: str
    image: str
    distribution: str
    https_port: int
    http_port: int
    page_port: int = 0
    until_pid: int = 0
    """The process that the stack must not outlive; 0 is none."""


class Supervisor:
    """Everything of one running stack."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.paths = StackPaths(options.stack)
        self.fabric = Fabric(options.stack, options.network_cidr)
        # The reconciler needs the cloud's view, the cloud needs to know which hosts answer.
        self.cloud = Cloud(
            options.region,
            managed=self._managed,
            start_command=self._start_command,
            target_states=self._target_states,
            tell=Notifications(self.paths.directory).add,
        )
        self.alarms = Alarms(options.region, self.cloud.lock, self._samples)
        self.reconciler = Reconciler(self.fabric, Path(options.image), options.region, self.cloud.view)
        self.reconciler.on_power_off = self.cloud.stopped_by_host
        self.commands = RunCommand(self.reconciler.find, self.cloud.lock)
        self.metadata = Metadata(self._identify)
        self.forwards: list[forward.Forward] = []
        self.page: LivePage | None = None
        self.endpoint = ""
        self.started_at = time.time()
        self._ended = threading.Event()
        self._orphaned = False
        self._control: Control | None = None

    def _handlers(self) -> dict[str, Handler]:
        return {
            "ping": lambda _: self.describe(),
            "status": self._status,
            "power": self._power,
            "recreate": self._recreate,
            "fault": self._fault,
            "journal": self._journal,
            "instances": lambda _: self._instances(),
            "elastic": lambda _: {"elastic": dict(self.reconciler.view.elastic)},
            "draw": self._draw,
            "end": lambda _: self._end(),
        }

    def _managed(self, instance_id: str) -> bool:
        return self.commands.managed(instance_id)

    def _target_states(self) -> States:
        return self.reconciler.balancers.states()

    def _samples(self) -> list[Sample]:
        hosts = [(host.instance, host.machine.power) for host in list(self.reconciler.hosts.values())]
        return [*status_checks(hosts), *target_health(self._target_states(), self.cloud.balancers())]

    def _start_command(self, command: Any) -> None:
        self.commands.start(command)

    def run(self) -> None:
        """Start everything, answer until told to end (or SIGTERM), then remove everything."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        if self.options.until_pid:
            threading.Thread(target=self._end_after, args=(self.options.until_pid,), name="pid", daemon=True).start()
        try:
            self._start()
            self._ended.wait()
            _log.info("ending")
        finally:
            self._finish()
        if self._orphaned:
            tether.forget(self.options.stack)

    def _end_after(self, pid: int) -> None:
        tether.wait_for_end(pid)
        _log.info("process %d has ended", pid)
        self._orphaned = True
        self._ended.set()

    def _start(self) -> None:
        listeners = [
            (forward.listen(port), target)
            for port, target in ((self.options.https_port, HTTPS), (self.options.http_port, HTTP))
            if port
        ]
        page = forward.listen(self.options.page_port) if self.options.page_port else None
        self.fabric.up()
        api = forward.listen(0)
        self.endpoint = f"http://127.0.0.1:{api.getsockname()[1]}"
        self.cloud.serve(api)
        self.cloud.serve(self.fabric.listen("fabric", API_ADDRESS, HTTP))
        self.metadata.serve(self.fabric.listen("fabric", METADATA_ADDRESS, HTTP))
        self.forwards = [
            forward.Forward(listener, target, self.public_addresses, self._connect) for listener, target in listeners
        ]
        for one in self.forwards:
            one.start()
        self.reconciler.start()
        self.alarms.start()
        if page is not None:
            self.page = LivePage(page, self.options.stack, self.fabric, self.reconciler, self._handlers())
        self._control = Control(self.paths.directory / "control.sock", self._handlers())
        self._control.start()
        _log.info("ready: %s", self.endpoint)

    def _finish(self) -> None:
        if self.page is not None:
            self.page.close()
        for one in self.forwards:
            one.close()
        self.alarms.close()
        self.reconciler.close()
        self.metadata.close()
        self.cloud.close()
        self.fabric.down()
        # Last: as long as it answers, the stack is there.
        if self._control is not None:
            self._control.close()
        _log.info("ended")

    def _connect(self, address: str, port: int) -> Any:
        return self.fabric.connect("world", address, port, timeout=5)

    def public_addresses(self) -> list[str]:
        """Public addresses of the stack that lead to a host now."""
        return sorted(self.reconciler.view.public)

    def _identify(self, address: str) -> tuple[Instance, str | None] | None:
        view = self.reconciler.view
        instance = view.by_address(address)
        if instance is None:
            return None
        public = next((one for one, private in view.elastic.items() if private == address), None)
        return instance, public

    def describe(self) -> Answer:
        """What a client needs to know of this process."""
        return {
            **asdict(self.options),
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "started_at": self.started_at,
            "addresses": self.public_addresses(),
            "names": sorted({node.dns_name for node in self.reconciler.view.nodes.values()}),
        }

    def _instances(self) -> Answer:
        return {"servers": [self._server(host) for _, host in sorted(self.reconciler.hosts.items())]}

    def _server(self, host: Host) -> Answer:
        instance, machine = host.instance, host.machine
        return {
            "name": instance.server,
            "roles": (instance.tags.get(TAG_ROLES) or "").split(),
            "address": instance.address,
            "zone": instance.zone,
            "instance": instance.id,
            "state": instance.state if machine.power is Power.ON or instance.state != "running" else "off",
            "problem": host.problem,
        }

    def _status(self, _: Mapping[str, Any]) -> Answer:
        hosts = [host for _, host in sorted(self.reconciler.hosts.items())]
        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            said = list(pool.map(lambda host: tripod_status(host.machine), hosts))
        return {
            **self.describe(),
            "servers": [{**self._server(host), "status": status} for host, status in zip(hosts, said, strict=True)],
        }

    def _power(self, request: Mapping[str, Any]) -> Answer:
        servers, action = [str(server) for server in request["servers"]], request["action"]
        if action not in {"start", "stop", "kill"}:
            raise ValueError(f"unknown action {action!r}")
        for server in servers:
            self.reconciler.hold(server, held=action != "start")
        hosts = [self.reconciler.hosts[server] for server in servers]
        # The last one must not write down in peace what it heard while the others were being cut off.
        for host in hosts if action == "kill" else ():
            host.machine.freeze()
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            list(pool.map(lambda host: self._switch(host, str(action)), hosts))
        return {}

    def _switch(self, host: Host, action: str) -> None:
        if action == "kill":
            host.machine.kill()
        elif action == "stop":
            host.machine.stop()
        elif host.instance.state not in {"pending", "running"}:
            # It had shut itself down, so for the API it is stopped; the reconciler does the rest.
            self.cloud.start_instance(host.instance.id)
        else:
            host.machine.start()

    def _recreate(self, request: Mapping[str, Any]) -> Answer:
        self.reconciler.recreate(str(request["server"]), empty=bool(request.get("empty")))
        return {}

    def _draw(self, request: Mapping[str, Any]) -> Answer:
        """The program is about to run with the files of this project: the page draws them from now on."""
        if self.page is not None:
            self.page.draw(Path(request["project"]))
        return {}

    def _journal(self, request: Mapping[str, Any]) -> Answer:
        server, unit = str(request["server"]), request.get("unit")
        if server not in self.reconciler.hosts:
            raise RehearsalError(f"there is no server {server!r}")
        machine = self.reconciler.hosts[server].machine
        return {"text": machine.journal(unit, int(request.get("lines") or 200))}

    def _fault(self, request: Mapping[str, Any]) -> Answer:
        action, arguments = request["action"], list(request.get("arguments") or [])
        if action == "cut":
            self.fabric.cut(*arguments)
        elif action == "block":
            self.fabric.block(*arguments)
        elif action == "netem":
            host, loss, delay = arguments
            self.fabric.netem(host, loss=float(loss), delay=float(delay))
        elif action == "heal":
            self.fabric.heal(*arguments)
        else:
            raise ValueError(f"unknown fault {action!r}")
        return {}

    def _end(self) -> Answer:
        self._ended.set()
        return {"pid": os.getpid()}


def tripod_status(machine: Machine) -> Answer:
    """What the host says of itself (`tripod status --json`), or `{"error": ...}` when it cannot say."""
    try:
        result = machine.run("tripod", "status", "--json", timeout=STATUS_TIMEOUT)
        answer = json.loads(result.stdout)
    except RehearsalError as error:
        return {"error": str(error)}
    except json.JSONDecodeError:
        return {"error": (result.stderr.strip() or result.stdout.strip() or "no answer")[-500:]}
    return answer if isinstance(answer, dict) else {"error": "no answer"}


def main() -> None:
    """`python -m rehearsal.supervisor OPTIONS`: run in the foreground, log to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("werkzeug", "botocore", "moto"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = Options(**json.loads(sys.argv[1]))
    StackPaths(options.stack).directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        Supervisor(options).run()
    except RehearsalError as error:
        _log.error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
