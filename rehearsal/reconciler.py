"""Makes the emulated AWS real: hosts, disks, security groups and Elastic IPs follow what the API says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rehearsal.balancers import Balancers
from rehearsal.machine import Machine, Power
from rehearsal.network import Fabric
from rehearsal.root_disk import aws_config, aws_environment
from rehearsal.shell import RehearsalError
from rehearsal.view import Instance, View
from rehearsal.volume import Volume

INTERVAL = 0.2
"""Seconds between two looks at the API."""

RUNNING = {"pending", "running"}

_log = logging.getLogger(__name__)


class Host:
    """One instance and the machine that it is. Only one thread at a time works on it."""

    def __init__(self, instance: Instance, machine: Machine) -> None:
        self.instance = instance
        self.machine = machine
        self.power_cycles = instance.power_cycles
        self.held = False
        """Switched off by hand: stays off, whatever the API says, until it is switched on by hand."""
        self.problem: str | None = None
        """Why the machine is not as it should be; None when all is well."""


class Reconciler:
    """Looks at the API every INTERVAL and does what is left to do, each host in a thread of its own."""

    def __init__(self, fabric: Fabric, image: Path, region: str, view: Callable[[], View]) -> None:
        self._fabric = fabric
        self.balancers = Balancers(fabric)
        self._image = image
        self._region = region
        self._read = view
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="host")
        self._work: dict[str, Future[None]] = {}
        self._volumes: dict[str, Volume] = {}
        self._rules: Mapping[str, object] | None = None
        self._elastic: Mapping[str, str] | None = None
        self.hosts: dict[str, Host] = {}
        """Server name -> host."""
        self.view = View()
        self.on_power_off: Callable[[str], None] = lambda _: None
        """Called with the id of an instance that shut itself down."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Cut the power of every host and remove them; volumes are closed. The API is no longer looked at."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(lambda host: host.machine.destroy(), self.hosts.values()))
        self.hosts.clear()
        self.balancers.close()
        for volume in self._volumes.values():
            volume.close()

    def find(self, instance_id: str) -> Machine | None:
        """The machine of an instance."""
        host = next((host for host in list(self.hosts.values()) if host.instance.id == instance_id), None)
        return host.machine if host else None

    def hold(self, server: str, *, held: bool) -> None:
        """Keep a host off by hand, or let it follow the API again. Raises RehearsalError for an unknown server."""
        if server not in self.hosts:
            raise RehearsalError(f"there is no server {server!r}; servers: {', '.join(sorted(self.hosts)) or 'none'}")
        self.hosts[server].held = held

    def recreate(self, server: str, *, empty: bool) -> None:
        """Put a new machine in the place of a host: a blank root disk and, if `empty`, blank data volumes.

        What is left of the old one is nothing; the API, which sees the same instance and volumes, is not told.
        """
        self.hold(server, held=True)
        host = self.hosts[server]
        working = self._work.get(server)
        if working is not None:
            working.result()
        host.machine.destroy()
        self._rules = None  # the fabric forgot those of this host with it
        if empty:
            for disk in host.instance.disks:
                self._volumes.pop(disk.id).delete()
        host.machine = self._machine(host.instance)
        host.held = False

    def _loop(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.step()
            except Exception:  # noqa: BLE001  (logged; the loop must outlive it)
                # The next look may do better; the log says what was wrong.
                _log.exception("reconciling failed")

    def step(self) -> None:
        """Look once."""
        view = self._read()
        wanted = {instance.server: instance for instance in view.instances.values()}
        for server, instance in wanted.items():
            host = self.hosts.get(server)
            if host is None:
                self.hosts[server] = Host(instance, self._machine(instance))
            elif host.instance.id == instance.id:
                host.instance = instance
        self.view = view
        self._network(view)
        for server, host in list(self.hosts.items()):
            future = self._work.get(server)
            if future is None or future.done():
                found = wanted.get(server)
                # A new instance of this name starts when the old one is gone.
                goal = found if found is not None and found.id == host.instance.id else None
                if self._pending(host, goal):
                    self._work[server] = self._pool.submit(self._settle, server, host, goal)
        for volume_id in [known for known in self._volumes if known not in view.volumes]:
            if not any(volume.id == volume_id for host in self.hosts.values() for volume in host.machine.volumes):
                self._volumes.pop(volume_id).delete()

    def _network(self, view: View) -> None:
        self.balancers.reserve(view.nodes)
        self._permit(view)
        if self.balancers.apply(view.nodes):
            self._rules = None  # the fabric forgot those of this node with it

    def _permit(self, view: View) -> None:
        rules = view.rules()
        if rules != self._rules:
            self._fabric.set_rules(rules)
            self._rules = rules
            _log.info("security groups applied to %d hosts", len(rules))
        if view.public != self._elastic:
            self._fabric.set_elastic_ips(view.public)
            self._elastic = view.public
            _log.info("public addresses: %s", view.public)

    def _machine(self, instance: Instance) -> Machine:
        return Machine(
            self._fabric,
            instance.server,
            image=self._image,
            address=instance.address,
            subnet_cidr=instance.subnet_cidr,
            files={"/root/.aws/config": aws_config(self._region), "/etc/default/aws": aws_environment()},
            on_end=lambda _: self.on_power_off(instance.id),
        )

    def _pending(self, host: Host, instance: Instance | None) -> bool:
        if instance is None:
            return True
        if host.held:
            return False
        machine = host.machine
        attached = {volume.id for volume in machine.volumes}
        return (
            attached != {disk.id for disk in instance.disks}
            or any(volume.size_gib != self.view.volumes.get(volume.id) for volume in machine.volumes)
            or machine.power is not self._power(instance)
            or host.power_cycles != instance.power_cycles
        )

    @staticmethod
    def _power(instance: Instance) -> Power:
        return Power.ON if instance.state in RUNNING else Power.OFF

    def _settle(self, server: str, host: Host, instance: Instance | None) -> None:
        try:
            if instance is None:
                host.machine.destroy()
                del self.hosts[server]
                self._rules = None  # the fabric forgot those of this host with it
                _log.info("%s terminated", server)
                return
            self._set_power(host, instance)
            self._set_volumes(host, instance)
            if not host.held and self._power(instance) is Power.ON and host.machine.power is Power.OFF:
                host.machine.start()
                _log.info("%s started", server)
            host.problem = None
        except (RehearsalError, OSError) as error:
            if host.problem != str(error):
                _log.warning("%s: %s", server, error)
            host.problem = str(error)

    def _set_power(self, host: Host, instance: Instance) -> None:
        machine = host.machine
        cycled = host.power_cycles != instance.power_cycles
        host.power_cycles = instance.power_cycles
        if machine.power is Power.ON and (cycled or self._power(instance) is Power.OFF):
            machine.stop()
            _log.info("%s stopped", machine.name)

    def _set_volumes(self, host: Host, instance: Instance) -> None:
        machine = host.machine
        wanted = {disk.id for disk in instance.disks}
        for volume in list(machine.volumes):
            if volume.id not in wanted:
                machine.detach(volume)
                _log.info("%s detached from %s", volume.id, machine.name)
        for disk in instance.disks:
            volume = self._volume(disk.id)
            if volume.size_gib < self.view.volumes[disk.id]:
                volume.grow(self.view.volumes[disk.id])
            if volume not in machine.volumes:
                machine.attach(volume)
                _log.info("%s attached to %s", disk.id, machine.name)

    def _volume(self, volume_id: str) -> Volume:
        if volume_id not in self._volumes:
            self._volumes[volume_id] = Volume(
                volume_id, self._fabric.paths.volume(volume_id), self.view.volumes[volume_id]
            )
        return self._volumes[volume_id]
