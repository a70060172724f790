"""What a load balancer does about the floating address, as pure functions of what it sees.

VRRP says who should have the address (`Vrrp`), the EC2 API says where it is (`Place`). Nothing here remembers which
event came last: the same view always gives the same action, so a flap can come in any order and at any speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Vrrp(StrEnum):
    """keepalived's state on this server. UNKNOWN before it has said anything, STOPPED when it does not run."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"


class Place(StrEnum):
    """Where the address is: at this server, at another load balancer of the stack, at nobody, or at a stranger."""

    HERE = "here"
    PEER = "peer"
    NOBODY = "nobody"
    STRANGER = "stranger"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What to do now."""

    STAND_DOWN = "stand down"
    """Not master: never touch the address, wherever it is."""
    HOLD = "hold"
    """Master, and it is here."""
    ASSOCIATE = "associate"
    """Master, and it is not: take it."""
    LOOK = "look"
    """Master, but where the address is must be asked first."""
    SETTLE = "settle"
    """Just associated by us; what the API shows may be older than that."""
    YIELD = "yield"
    """Master, but a load balancer that comes before us holds it and serves: both are masters, one must give way."""


@dataclass(frozen=True)
class View:
    """What this server sees.

    `claimed`: whether it has taken the address since it became master. `settling`: whether that was moments ago.
    `outranked`: whether the peer that holds the address comes before this server in the stack's order.
    `peer_serves`: whether that peer's HAProxy answers.
    """

    vrrp: Vrrp
    place: Place
    claimed: bool = True
    settling: bool = False
    outranked: bool = False
    peer_serves: bool = False
    heal: bool = True


def decide(view: View) -> Action:
    """The one action that fits the view."""
    if view.vrrp is not Vrrp.MASTER:
        return Action.STAND_DOWN
    if view.place is Place.HERE:
        return Action.HOLD
    if not view.claimed:
        # Whoever held it is most likely dead: asking first would only cost the visitors another round trip.
        return Action.ASSOCIATE
    if view.settling:
        return Action.SETTLE
    if view.place is Place.UNKNOWN or not view.heal:
        return Action.LOOK
    if view.place is Place.PEER and view.outranked and view.peer_serves:
        return Action.YIELD
    return Action.ASSOCIATE


def bonus(action: Action, *, unreachable: bool, holder_bonus: int) -> int:
    """What this server adds to its VRRP priority.

    The master keeps the address from a server that returns, but not if it cannot reach the EC2 API: then it is most
    likely cut off, its peer has the address by now, and it must not win when the cable is back.
    """
    keeps = action not in (Action.STAND_DOWN, Action.YIELD) and not unreachable
    return holder_bonus if keeps else 0


def retake_pause(retakes: int) -> float:
    """Seconds between taking the address back from a peer that ranks higher and doing so again: 0, 2, 4, ... 60.

    More than once means that the peer takes it too: both are masters, and neither hears the other. Each move costs
    visitors their connections, so it must not become a fight; it is enough that one of the two gives way.
    """
    return 0.0 if retakes == 0 else min(60.0, 2.0**retakes)


def error_pause(failures: int) -> float:
    """Seconds after the nth failed call in a row: 0.2, 0.4, ... 5."""
    return min(5.0, 0.1 * 2.0 ** min(failures, 6))
