"""Let the edge take this load balancer out before HAProxy stops: ExecStop of haproxy.service.

Usage: python3 -m host.haproxy_drain SECONDS. HAProxy's health is bad from now on, and it serves as before for SECONDS;
systemd then stops it. systemd runs this after a crash as well, where there is nothing to wait for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from .haproxy_reload import WORKER, WORKER_SECONDS, ask

COMMAND = "experimental-mode on; set var proc.draining bool(true)"


def drain(seconds: float, path: Path = WORKER, pause: Callable[[float], None] = time.sleep) -> int:
    """Turn the health bad and wait; 1, without waiting, when HAProxy refuses, 0 also when there is none."""
    try:
        answer = ask(path, COMMAND, WORKER_SECONDS).strip()
    except OSError:
        return 0
    if answer:
        print(f"HAProxy does not drain: {answer}", file=sys.stderr)
        return 1
    print(f"draining for {seconds:g} s")
    pause(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(drain(float(sys.argv[1])))
