"""Frames that arrive late: what leaves by one interface waits its time in this process, whatever the kernel offers.

The kernel's own delay (`tc qdisc ... netem`) is a module that small and virtual machines often lack; nftables' egress
hook (Linux 5.16) and TAP devices are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import select
import socket
import struct
import threading
import time
from collections import deque

from rehearsal import namespace
from rehearsal.shell import run

TABLE = "tripod-late"
LIMIT = 10_000  # frames, as tc-netem(8)'s `limit` is usually set
FRAME = 65_536  # larger than any frame of a link: the kernel cuts what is larger before it reaches a TAP device
_DONE = 0x6C617465  # mark of the frames that have waited
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_IFREQ = "16sH22x"
_LOOK = 0.2  # s

_log = logging.getLogger(__name__)


class DelayLine:
    """Delays every frame that leaves `namespace_name` by `link`, ARP included, by `seconds`; order is kept.

    nftables sends the frames to a TAP device, a thread of this process reads them there and sends them on when they
    are due. More than LIMIT waiting frames are lost, as in a full queue. It ends with the process, however that ends:
    a TAP device lives as long as its file. Raises CommandError or OSError when one of the parts cannot be had.
    """

    def __init__(self, namespace_name: str, link: str, seconds: float) -> None:
        self._namespace, self._link, self._seconds = namespace_name, link, seconds
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._ended = threading.Event()
        with contextlib.ExitStack() as undo:
            self._tap, tap_name = namespace.within(namespace_name, _tap)
            undo.callback(os.close, self._tap)
            self._out = namespace.within(namespace_name, self._socket)
            undo.callback(self._out.close)
            namespace.sysctl(namespace_name, {f"net.ipv6.conf.{tap_name}.disable_ipv6": 1})
            set_up = ["mtu", "9216", "txqueuelen", str(LIMIT), "arp", "off", "up"]
            run(["ip", "-n", namespace_name, "link", "set", "dev", tap_name, *set_up])
            self._nft(_divert(link, tap_name))
            undo.pop_all()
        self._thread = threading.Thread(target=self._carry, name=f"late-{link}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let frames pass at once again; those that still wait follow at once. No error when the link is gone."""
        if namespace.exists(self._namespace):
            self._nft(_clear(self._link))
        self._ended.set()
        self._thread.join(10)

    def _socket(self) -> socket.socket:
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)  # protocol 0: it receives nothing
        out.bind((self._link, 0))
        out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _DONE)
        return out

    def _nft(self, text: str) -> None:
        run(["ip", "netns", "exec", self._namespace, "nft", "-f", "-"], stdin=text)

    # -- inside the thread

    def _carry(self) -> None:
        ready = select.poll()
        ready.register(self._tap, select.POLLIN)
        try:
            while not self._ended.is_set():
                ready.poll(self._pause())
                self._take()
                self._send(until=time.monotonic())
            self._take()
            self._send(until=math.inf)
        except OSError as error:  # the link went, with its host's power
            _log.info("delay of %s ends: %s", self._link, error)
        finally:
            os.close(self._tap)
            self._out.close()

    def _pause(self) -> int:
        """Milliseconds until the next frame is due."""
        due = self._waiting[0][0] - time.monotonic() if self._waiting else _LOOK
        return max(0, math.ceil(1000 * min(due, _LOOK)))

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(self._tap, FRAME)
                if len(self._waiting) < LIMIT:
                    self._waiting.append((time.monotonic() + self._seconds, frame))

    def _send(self, until: float) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            self._out.send(self._waiting.popleft()[1])


def _tap() -> tuple[int, str]:
    """A TAP device in the namespace of the calling thread: its file, and the name that the kernel gave it."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        asked = struct.pack(_IFREQ, b"late%d", _IFF_TAP | _IFF_NO_PI)
        name = struct.unpack(_IFREQ, fcntl.ioctl(tap, _TUNSETIFF, asked))[0]
    except BaseException:
        os.close(tap)
        raise
    return tap, name.rstrip(b"\0").decode()


def _divert(link: str, tap_name: str) -> str:
    chain = _chain(link)
    return (
        f"add table netdev {TABLE}\n"
        f'add chain {chain} {{ type filter hook egress device "{link}" priority 0; policy accept; }}\n'
        f"add rule {chain} meta mark {_DONE} accept\n"
        f'add rule {chain} fwd to "{tap_name}"\n'
    )


def _clear(link: str) -> str:
    """Removes the chain whether or not it is there: with a link, the kernel removes its chain too."""
    chain = _chain(link)
    return f"add table netdev {TABLE}\nadd chain {chain}\nflush chain {chain}\ndelete chain {chain}\n"


def _chain(link: str) -> str:
    return f"netdev {TABLE} late-{link}"
