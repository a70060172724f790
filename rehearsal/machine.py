"""A server of the rehearsal: a real systemd host with its own root disk, volumes, network and power switch."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from rehearsal import namespace
from rehearsal.cgroup import Cgroup
from rehearsal.host_process import EXIT_REBOOT, enter_command, is_leader, leader_of, start_command
from rehearsal.image_settings import GATE
from rehearsal.network import Fabric
from rehearsal.root_disk import RootDisk
from rehearsal.shell import EXIT_TIMEOUT, RehearsalError, Result, run, tool_environment
from rehearsal.volume import BY_ID, Volume, power_cut

_log = logging.getLogger(__name__)


class Power(StrEnum):
    """Whether a machine is on."""

    ON = "on"
    OFF = "off"


class Machine:
    """One host. Its disk (below the stack's state directory) outlives its power; destroy() ends both.

    Methods may be called from any thread; those that switch the power wait for each other.
    """

    def __init__(
        self,
        fabric: Fabric,
        name: str,
        *,
        image: Path,
        address: str,
        subnet_cidr: str,
        files: Mapping[str, str] | None = None,
        on_end: Callable[[Machine], None] | None = None,
    ) -> None:
        """Describe a host; nothing is made before start().

        `files` (absolute path -> text) are on the root disk when the host first boots, mode 0600.
        `on_end` is called when the host went off by itself (not by stop() or kill(), nor for a reboot).
        """
        self.fabric = fabric
        self.name = name
        self.image = image
        self.address = address
        self.subnet_cidr = subnet_cidr
        self.disk = RootDisk(fabric.paths.machine(name), image, files or {})
        self.volumes: list[Volume] = []
        self._on_end = on_end
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None
        self._cgroup = Cgroup(fabric.paths.object_name(name))
        self._commands = itertools.count(1)
        fabric.reserve(name, address)

    # -- power

    @property
    def power(self) -> Power:
        """Whether the host runs at this moment."""
        process = self._process
        return Power.ON if process is not None and process.poll() is None else Power.OFF

    @property
    def leader(self) -> int:
        """Process number of the host's systemd on this machine. Raises RehearsalError when the host is off."""
        leader = self._leader
        if leader is None or not is_leader(leader):
            raise RehearsalError(f"{self.name} is not running")
        return leader

    def start(self, timeout: float = 60) -> None:
        """Switch the host on and wait until its systemd answers; cloud-init then goes on by itself.

        No error when it is on. Raises RehearsalError with the end of the console after `timeout` seconds.
        """
        with self._lock:
            if self.power is Power.ON:
                return
            deadline = time.monotonic() + timeout
            self.disk.prepare()
            self.fabric.paths.claim(self.name)
            self._cgroup.create()
            try:
                netns = self.fabric.plug(self.name, self.address, self.subnet_cidr)
                self._process = self._spawn(namespace.DIRECTORY / netns)
                self._wait("its first process", deadline, self._find_leader)
                root = Path(f"/proc/{self.leader}/root")
                for volume in self.volumes:
                    self._add_device(root, volume)
                (root / GATE.lstrip("/")).touch()
                self._wait("an answer of systemd", deadline, self._systemd_answers)
            except BaseException:
                self.kill()
                raise
            threading.Thread(target=self._watch, args=(self._process,), name=f"watch-{self.name}", daemon=True).start()

    def stop(self, timeout: float = 60) -> None:
        """Shut the host down in order, as EC2's StopInstances does; a power cut after `timeout` seconds."""
        with self._lock:
            process = self._process
            leader = self._leader
            if process is not None and process.poll() is None and leader is not None and is_leader(leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(leader, signal.SIGRTMIN + 4)  # systemd: start poweroff.target
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout)
            self.kill()

    def freeze(self) -> None:
        """Stop every process, in a moment: what `kill` begins with. Several hosts that lose power at once begin so."""
        self._cgroup.freeze()

    def kill(self) -> None:
        """Cut the power: not a packet and not a block more. No error when the host is off."""
        with self._lock:
            self.freeze()
            self.fabric.unplug(self.name)
            leader, self._leader = self._leader, None
            if leader is not None and is_leader(leader):
                power_cut(leader, {volume.device for volume in self.volumes if volume.device is not None})
            self._cgroup.kill()
            process, self._process = self._process, None
            if process is not None:
                process.wait(20)
            self._cgroup.remove()
            for volume in self.volumes:
                volume.wait_unused()

    def destroy(self) -> None:
        """Terminate the host: power, root disk and network go; its volumes are detached and keep their data."""
        with self._lock:
            self.kill()
            for volume in list(self.volumes):
                self.detach(volume)
            self.fabric.forget(self.name)
            self.disk.remove()

    # -- what happens inside

    def run(
        self,
        *command: str,
        timeout: float = 60,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> Result:
        """Run a command inside as root, in /root, with a clean environment.

        After `timeout` seconds the command and all it started are killed; the exit code is 124 then. Raises
        RehearsalError when the host is off, CommandError when `check` and the exit code is not 0.
        """
        group = f"command-{next(self._commands)}"
        entered = run(
            enter_command(self._cgroup, self.leader, group, command, environment),
            stdin=stdin,
            timeout=timeout,
            check=False,
        )
        inside = Cgroup(f"{self._cgroup.name}/{group}")
        if entered.exit_code == EXIT_TIMEOUT:
            inside.kill()
        with contextlib.suppress(OSError):  # it left a process behind, which is its right; kill() will find it
            inside.path.rmdir()
        result = Result(command, entered.exit_code, entered.stdout, entered.stderr)
        return result.check() if check else result

    def wait_booted(self, timeout: float = 120) -> str:
        """Wait until the boot, user data included, is over; return systemd's word for it (`running`, `degraded`)."""
        deadline = time.monotonic() + timeout
        states: list[str] = []

        def booted() -> bool:
            states.append(self.run("systemctl", "is-system-running", timeout=15).stdout.strip())
            return states[-1] not in {"", "initializing", "starting", "offline", "unknown"}

        self._wait("the end of its boot", deadline, booted, pause=0.1)
        return states[-1]

    def journal(self, unit: str | None = None, lines: int = 200) -> str:
        """The last lines of the host's journal (of one unit), from its disk when it is off."""
        command = ["journalctl", "--no-pager", "--output=short-precise", f"--lines={lines}"]
        command += [f"--unit={unit}"] if unit else []
        if self.power is Power.ON:
            done = self.run(*command, timeout=30)
        else:
            done = run([*command, f"--directory={self.disk.journal}"], check=False)
        return done.stdout or done.stderr

    # -- volumes

    def attach(self, volume: Volume) -> None:
        """Attach a volume: its device and its name below /dev/disk/by-id appear in the host, running or not."""
        with self._lock:
            if volume in self.volumes:
                return
            volume.open()
            self.volumes.append(volume)
            if self.power is Power.ON:
                self._add_device(Path(f"/proc/{self.leader}/root"), volume)

    def detach(self, volume: Volume) -> None:
        """Detach a volume. Raises RehearsalError while the host has it mounted."""
        with self._lock:
            if volume not in self.volumes:
                return
            volume.wait_unused(timeout=2)
            if self.power is Power.ON:
                root = Path(f"/proc/{self.leader}/root")
                for link in volume.links:
                    (root / BY_ID / link).unlink(missing_ok=True)
                (root / "dev" / self._device_name(volume)).unlink(missing_ok=True)
            volume.close()
            self.volumes.remove(volume)

    # -- inside

    def _spawn(self, netns: Path) -> subprocess.Popen[bytes]:
        disk = self.disk.directory
        command = start_command(self._cgroup, self.image, disk, self._cgroup.name, self.name, netns)
        with self.disk.console.open("ab") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env=tool_environment(),
            )

    def _add_device(self, root: Path, volume: Volume) -> None:
        number = volume.open().stat().st_rdev
        name = self._device_name(volume)
        node = root / "dev" / name
        node.unlink(missing_ok=True)
        os.mknod(node, stat.S_IFBLK | 0o660, number)
        directory = root / BY_ID
        directory.mkdir(parents=True, exist_ok=True)
        for link in volume.links:
            (directory / link).unlink(missing_ok=True)
            (directory / link).symlink_to(f"../../{name}")

    def _device_name(self, volume: Volume) -> str:
        return f"nvme{self.volumes.index(volume) + 1}n1"  # nvme0n1 is the root disk on AWS

    def _find_leader(self) -> bool:
        self._leader = leader_of(self._cgroup)
        return self._leader is not None

    def _systemd_answers(self) -> bool:
        # Any word but none means that the manager listens; "starting" is enough, user data may take long.
        return bool(self.run("systemctl", "show", "--property=Version", timeout=10).stdout.strip())

    def _wait(self, what: str, deadline: float, predicate: Callable[[], bool], pause: float = 0.01) -> None:
        while not predicate():
            process = self._process
            if process is None or process.poll() is not None:
                raise RehearsalError(
                    f"{self.name} ended while waiting for {what}; its console ends:\n{self.disk.console_end()}"
                )
            if time.monotonic() > deadline:
                raise RehearsalError(
                    f"{self.name}: no sign of {what} in time; its console ends:\n{self.disk.console_end()}"
                )
            time.sleep(pause)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            if self._process is not process:  # stop() or kill() did it
                return
            self.kill()
            if code == EXIT_REBOOT:
                try:
                    self.start()
                except RehearsalError as error:
                    _log.error("%s did not come up again after a reboot: %s", self.name, error)
                else:
                    return
        if self._on_end is not None:
            self._on_end(self)
