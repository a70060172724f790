"""Drills of the application and of the network: a server killed, hung, answering 500; packets lost or late."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rehearsal.drills.drill import Drill, single_application_server
from rehearsal.drills.judge import Limits
from rehearsal.drills.scene import Scene
from rehearsal.drills.stack import Stack
from rehearsal.shell import RehearsalError
from topology.flows import app_port

APP = "tripod-app.service"
BROKEN = "drill-broken-app"
KILLS = 5
BETWEEN_KILLS = 3.0
"""Seconds: the load balancers send requests to the server again, so that each kill costs some without retries."""
ANSWERS_500 = 8.0
HANGS = 15.0
HANG_FAILS = 12
"""Reads. Each of the client's four loses what waits at the hung server, and perhaps one more before the checks speak;
without checks each loses one every three and a half seconds."""
LOSSY = 25.0
DELAY = 0.05

# Answers 500 to everything, at the application's own address and port.
ANSWER_500 = """
import http.server, sys
class Broken(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Broken).serve_forever()
"""


def application_killed(scene: Scene) -> None:
    """kill -9 of every process of one application server, again and again; systemd starts it each time."""
    victim = scene.spare_app()
    for number in range(KILLS):
        # Between two of systemd's starts there may be nothing to kill.
        scene.stack.exec(victim, "systemctl", "kill", "--signal=SIGKILL", "--kill-whom=all", APP, check=False)
        if number == 0:
            scene.broke(f"application of {victim} killed {KILLS} times")
        scene.observe(BETWEEN_KILLS)


def application_host_lost(scene: Scene) -> None:
    """Power cut of a host with an application server, neither the address's holder nor, if possible, the primary."""
    victim = scene.spare_app()
    scene.lead_from(lambda server: server != victim)
    with scene.without_power(victim):
        scene.observe(8)


def application_hung(scene: Scene) -> None:
    """One application server stands still: the kernel accepts connections, nobody answers."""
    with scene.stopped(scene.spare_app(), APP):
        scene.observe(HANGS)
    scene.observe(4)


def application_answering_500(scene: Scene) -> None:
    """One application server answers 500 to every request, its health check included."""
    victim = scene.spare_app()
    address = str(scene.stack.topology.server(victim).address)
    program = ("/usr/bin/python3", "-c", ANSWER_500, address, str(app_port(scene.stack.topology)))
    scene.stack.exec(victim, "systemctl", "stop", APP)
    scene.stack.exec(victim, "systemd-run", "--quiet", "--collect", f"--unit={BROKEN}", *program)
    scene.broke(f"application of {victim} answers 500")
    try:
        scene.observe(ANSWERS_500)
    finally:
        scene.stack.exec(victim, "systemctl", "stop", BROKEN)
        scene.stack.exec(victim, "systemctl", "start", APP)
        scene.mark(f"application of {victim} works again")
    scene.observe(4)


def network_fault(loss: float, delay: float) -> Callable[[Scene], None]:
    """A share of packets (0 to 1) is lost, all others are `delay` seconds late, at the primary's host."""

    def act(scene: Scene) -> None:
        primary = scene.stack.primary()
        what = f"{loss:.0%} of packets of {primary} (primary) lost" if loss else f"packets of {primary} late"
        with scene.fault(what, "netem", primary, loss, delay):
            scene.observe(LOSSY)
        scene.broken_at = scene.watch.now
        scene.writes_again()
        scene.observe(3)

    return act


def no_delay(stack: Stack) -> str:
    """Why this machine cannot delay packets, or nothing."""
    server = stack.databases[0]
    try:
        stack.fault("netem", server, 0, DELAY)
    except RehearsalError as error:
        return str(error)
    finally:
        stack.fault("heal", server)
    return ""


NO_READ_FAILS = partial(Limits, failed_reads=0)

DRILLS = (
    Drill(
        "application-killed",
        "Every process of one application server is killed, five times in a row.",
        application_killed,
        NO_READ_FAILS(write_gap=2.0, read_gap=1.0),
        weakness=single_application_server,
        controls=("retries",),
    ),
    Drill(
        "application-host-lost",
        "A host with an application server loses power.",
        application_host_lost,
        NO_READ_FAILS(write_gap=10.0, read_gap=2.0),
        weakness=single_application_server,
        controls=("retries",),
        limits_at_the_edge=Limits(write_gap=10.0, read_gap=2.0),
    ),
    Drill(
        "application-hung",
        "One application server accepts connections and answers nothing.",
        application_hung,
        # What the hung server has already is asked of nobody else: the client's own limits (3.5 s, 7 s) end it.
        Limits(write_gap=10.0, read_gap=5.0, failed_reads=HANG_FAILS),
        weakness=single_application_server,
        controls=("health-checks",),
    ),
    Drill(
        "application-answering-500",
        "One application server answers 500 to everything.",
        application_answering_500,
        NO_READ_FAILS(write_gap=4.0, read_gap=1.0),
        weakness=single_application_server,
        controls=("retries",),
    ),
    Drill(
        "packet-loss-1",
        "The primary's host loses one packet in a hundred.",
        network_fault(0.01, 0),
        Limits(write_gap=3.0, read_gap=2.0),
    ),
    Drill(
        "packet-loss-5",
        "The primary's host loses one packet in twenty.",
        network_fault(0.05, 0),
        Limits(write_gap=5.0, read_gap=3.0),
    ),
    Drill(
        "packet-loss-30",
        "The primary's host loses three packets in ten.",
        network_fault(0.30, 0),
        Limits(write_gap=20.0, read_gap=5.0),
    ),
    Drill(
        "packet-delay",
        "All packets of the primary's host are 50 ms late.",
        network_fault(0, DELAY),
        Limits(write_gap=3.0, read_gap=2.0),
        obstacle=no_delay,
    ),
)
