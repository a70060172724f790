"""Brings the stack's Elastic IP to this server while keepalived says MASTER (unit tripod-floating-address.service).

One process, one thread, level-triggered: each turn reads keepalived's newest state, decides (see
floating_address_decision.py) and makes at most one change. It never disassociates: an address at a server that has
stood down is better than at none.

Calls to the EC2 API in an hour: a master looks every 1.5 s (2,400 DescribeAddresses), the others every 15 s (240),
which also keeps their connection and credentials warm for the takeover; one AssociateAddress per takeover. AWS
allows 72,000 such requests an hour (20 a second, EC2 developer guide, "Request throttling").
"""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.request import ProxyHandler, build_opener

from .elastic_ip import AnswerError, ElasticIp, Location, SilenceError, refused
from .floating_address_decision import Action, Place, View, Vrrp, bonus, decide, error_pause, retake_pause
from .floating_address_facts import Facts
from .floating_address_status import Status, save
from .vrrp_events import ASK_SECONDS, Holder, Notifications

LOOK_MASTER = 1.5
LOOK_OTHER = 15.0
LOOK_SETTLING = 0.3
# So that several servers do not ask in step.
JITTER = 0.2

# A master waits this long before its first call: where two became master at once, VRRP has sent one back by then.
SURE = 0.03

LOOK, TAKE = "DescribeAddresses", "AssociateAddress"
# How old an answer of DescribeAddresses may be after a move.
SETTLE = 3.0
# Longer without any answer of the API, and this server counts itself as cut off.
CUT_OFF = 2.0
# A master that kept the address this long is no longer in a contest.
QUIET = 60.0
PEER_SECONDS = 1.0
SAY_EVERY = 5.0

log = logging.getLogger("tripod-floating-address")


class Vrrps(Protocol):
    """Where keepalived's state comes from (vrrp_events.Notifications)."""

    state: Vrrp

    def read(self) -> list[str]: ...
    def wait(self, seconds: float) -> None: ...


class Bonus(Protocol):
    """Where the bonus goes (vrrp_events.Holder)."""

    def read(self) -> int: ...
    def write(self, value: int) -> None: ...


def peer_serves(address: str, port: int) -> bool:
    """Whether the HAProxy at `address` says that it is well."""
    try:
        # Neighbours on private addresses are never reached through a proxy of the environment.
        with build_opener(ProxyHandler({})).open(f"http://{address}:{port}/healthz", timeout=PEER_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass
class Term:
    """One time of being master, from `began` on (seconds of the daemon's clock)."""

    began: float
    claimed: bool = False
    associated: float = float("-inf")
    retakes: int = 0
    retaken: float = float("-inf")


@dataclass
class FloatingAddress:
    """The daemon without its loop: `turn()` does what is due and returns the seconds until it wants the next.

    `heal=False` leaves a stolen or lost association alone: for the negative control of tests and drills.
    """

    facts: Facts
    elastic_ip: ElasticIp
    vrrp: Vrrps
    holder: Bonus
    heal: bool = True
    peer_serves: Callable[[str, int], bool] = peer_serves
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = lambda: random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
    say: Callable[[Status], None] = lambda _: None

    place: Place = Place.UNKNOWN
    location: Location | None = None
    term: Term | None = None
    action: Action = Action.STAND_DOWN
    _vrrp: Vrrp = Vrrp.UNKNOWN
    _next_look: float = float("-inf")
    _not_before: float = float("-inf")
    _failures: Counter[str] = field(default_factory=Counter)
    _errors: dict[str, str] = field(default_factory=dict)
    _refused: bool = False
    _silent_since: float | None = None
    _serves: bool = False
    _said: tuple[float, Status | None] = field(default=(float("-inf"), None))

    def turn(self) -> float:
        """Read keepalived's state, act on it, say how things are."""
        now = self.clock()
        self._listen(now)
        if self.term and now - self.term.began < SURE:
            return SURE - (now - self.term.began)
        # A new master's first act is to take the address, before anything is asked.
        claims = self.term is not None and not self.term.claimed and self.place is not Place.HERE
        if now >= self._next_look and not claims:
            self._look()
            # The API took its time: by now keepalived may have said something else.
            self._listen(self.clock())
            now = self.clock()
            if self.term and now - self.term.began < SURE:
                return SURE - (now - self.term.began)
        self.action = self._decide(now)
        if self.action is Action.ASSOCIATE and self.term:
            self._take(self.term, now)
        self._tell(self.clock())
        return max(0.0, self._due() - self.clock())

    def _due(self) -> float:
        # A claim or a retake that had to pause comes before the next look.
        waits = self._decide(self.clock()) is Action.ASSOCIATE
        return min(self._next_look, self._ready()) if waits else self._next_look

    def _ready(self) -> float:
        """When the next association may be tried."""
        assert self.term is not None  # noqa: S101  (only a master associates)
        if self._outranked and self.term.claimed:
            return max(self._not_before, self.term.retaken + retake_pause(self.term.retakes))
        return self._not_before

    def _listen(self, now: float) -> None:
        words = self.vrrp.read()
        state = self.vrrp.state
        if "MASTER_RX_LOWER_PRI" in words and state is Vrrp.MASTER:
            # Another was master beside us a moment ago, and may have taken the address.
            self._next_look = now
        # Even a flap that is over by now ended the term: whoever was master meanwhile may have moved the address.
        left = any(word in ("BACKUP", "FAULT", "STOP") for word in words)
        if state is Vrrp.MASTER and (self.term is None or left):
            # A daemon that was restarted finds itself master for long: it looks before it takes.
            self.term = Term(began=now, claimed=self._vrrp is Vrrp.UNKNOWN)
            self._not_before = float("-inf")
            self._next_look = now
            self._answered(TAKE)
        elif state is not Vrrp.MASTER:
            self._stand_down()
        if state is not self._vrrp:
            log.info("VRRP: %s (was %s)", state, self._vrrp)
            self._vrrp = state
            self._next_look = now

    def _stand_down(self) -> None:
        """Forget a failed attempt, which is not repeated now, and so would be told of until the next term.

        Not so when IAM refuses it: the next term would fail as well, and somebody must mend that before.
        """
        if self.term and not self._refused:
            self._errors.pop(TAKE, None)
        self.term = None

    def _decide(self, now: float) -> Action:
        term = self.term
        return decide(
            View(
                vrrp=self.vrrp.state,
                place=self.place,
                claimed=bool(term and term.claimed),
                settling=bool(term and now - term.associated < SETTLE),
                outranked=self._outranked,
                peer_serves=self._serves,
                heal=self.heal,
            )
        )

    def _look(self) -> None:
        try:
            self.location = self.elastic_ip.look()
        except (*AnswerError, *SilenceError) as error:
            self.place = Place.UNKNOWN
            self._next_look = self.clock() + self._failed(LOOK, error)
            return
        self._answered(LOOK)
        before, self.place = self.place, self._where(self.location)
        if self.place is not before:
            log.info("%s is at %s", self.location.public_ip, self._name_of(self.location))
        self._serves = self._ask_peer(self.location)
        now = self.clock()
        if self.term and self.place is Place.HERE:
            self.term.claimed = True
            if now - max(self.term.retaken, self.term.began) > QUIET:
                self.term.retakes = 0
        settling = self.term and self.place is not Place.HERE and now - self.term.associated < SETTLE
        every = LOOK_SETTLING if settling else LOOK_MASTER if self.term else LOOK_OTHER
        self._next_look = now + every * self.jitter()

    def _ask_peer(self, location: Location) -> bool:
        # Asked only where the answer matters: one that is dead would cost a second.
        return bool(self.term and self._outranked) and self.peer_serves(
            str(location.private_ip), self.facts.health_port
        )

    @property
    def _outranked(self) -> bool:
        if self.place is not Place.PEER or self.location is None:
            return False
        theirs, own = self.facts.rank(self.location.private_ip or ""), self.facts.rank(self.facts.address)
        return theirs is not None and own is not None and theirs < own

    def _where(self, location: Location) -> Place:
        if self.elastic_ip.is_mine(location) or location.private_ip == self.facts.address:
            return Place.HERE
        if not (location.private_ip or location.instance_id or location.interface_id):
            return Place.NOBODY
        return Place.PEER if self.facts.rank(location.private_ip or "") is not None else Place.STRANGER

    def _name_of(self, location: Location) -> str:
        names = {address: name for name, address in self.facts.load_balancers}
        return names.get(location.private_ip or "") or location.instance_id or location.interface_id or "no server"

    def _take(self, term: Term, now: float) -> None:
        if now < self._ready():
            return
        retake = term.claimed and self._outranked
        try:
            self.elastic_ip.take()
        except (*AnswerError, *SilenceError) as error:
            self._not_before = self.clock() + self._failed(TAKE, error)
            self._refused = refused(error)
            # It may have happened all the same; and if it did not, the next attempt must know where the address is.
            term.claimed = True
            self._next_look = min(self._next_look, self._not_before)
            self.place = Place.UNKNOWN
            return
        self._answered(TAKE)
        done = self.clock()
        log.info("took the address in %.0f ms, %.0f ms after becoming master", (done - now) * 1e3,
                 (done - term.began) * 1e3)  # fmt: skip
        if retake:
            term.retakes += 1
            term.retaken = done
        term.claimed = True
        term.associated = self._next_look = done

    def _failed(self, call: str, error: Exception) -> float:
        """Remember the failure; the pause before the next attempt, in seconds."""
        self._failures[call] += 1
        text = f"{call}: {error}"
        if text != self._errors.get(call):
            log.warning("%s", text)
        self._errors[call] = text
        if not isinstance(error, SilenceError):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self.clock()
        return error_pause(self._failures[call]) * self.jitter()

    def _answered(self, call: str) -> None:
        if self._errors.pop(call, None):
            log.info("%s works again", call)
        self._failures[call] = 0
        self._silent_since = None

    def _tell(self, now: float) -> None:
        unreachable = self._silent_since is not None and now - self._silent_since > CUT_OFF
        wanted = bonus(self.action, unreachable=unreachable, holder_bonus=self.facts.holder_bonus)
        # `Holder.ask` may have moved the value by one. Until keepalived has answered it, the one before us is right.
        if self.vrrp.state is not Vrrp.UNKNOWN and (self.holder.read() >= self.facts.holder_bonus) is not (wanted > 0):
            self.holder.write(wanted)
        known = self.location if self.place is not Place.UNKNOWN else None
        status = Status(
            vrrp=str(self.vrrp.state),
            here=None if known is None else self.place is Place.HERE,
            at=self._name_of(known) if known else None,
            public_ip=self.location.public_ip if self.location else None,
            action=str(self.action),
            error="; ".join(self._errors.values()) or None,
        )
        at, said = self._said
        if status != said or now - at >= SAY_EVERY:
            self.say(status)
            self._said = (now, status)


def notify(word: str) -> None:
    """Tell systemd (sd_notify(3)); nothing outside of a unit."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(f"\0{path[1:]}" if path.startswith("@") else path)
            channel.sendall(word.encode())


def warm_up(elastic_ip: ElasticIp) -> None:
    """Make the client before anything depends on it; when that fails, the first look tries again."""
    try:
        elastic_ip.warm_up()
    except SilenceError as error:
        log.warning("credentials or this instance's id are not known yet: %s", error)


def main() -> int:
    """Keep the address where it belongs until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    facts = Facts.load()
    elastic_ip = ElasticIp(facts.tags, facts.region)
    warm_up(elastic_ip)
    vrrp = Notifications(facts.runtime / "vrrp", facts.instance)
    holder = Holder(facts.runtime / "holder")
    heal = "--no-heal" not in sys.argv[1:]
    status = facts.runtime / "status.json"
    address = FloatingAddress(facts, elastic_ip, vrrp, holder, heal=heal, say=lambda value: save(value, status))
    notify("READY=1")
    ask_at = float("-inf")
    while True:
        if vrrp.doubtful and time.monotonic() >= ask_at:
            holder.ask()
            ask_at = time.monotonic() + ASK_SECONDS
        pause = address.turn()
        notify("WATCHDOG=1")
        vrrp.wait(min(pause, SAY_EVERY, vrrp.patience))


if __name__ == "__main__":
    sys.exit(main())
