"""Short ways to write down what members of a group report."""

from __future__ import annotations

from userdata.host.database_state import DatabaseState, View
from userdata.host.group_decision import Claim, Observation, Registry, Token
from userdata.host.gtid import GtidSet

UUID = "65ee6802-a77c-55e8-b4fc-5c9bd440e7fd"
OTHER = "8f97b61a-e7cc-11f1-b818-be7a05740ef5"
NAMES = ("server-1", "server-2", "server-3")


def number(name: str) -> int:
    return int(name.rpartition("-")[2])


def gtids(last: int, errant: int = 0) -> GtidSet:
    """Transactions 1 to `last` of the group, and 1 to `errant` of somebody else."""
    parts = [f"{UUID}:1-{last}"] * bool(last) + [f"{OTHER}:1-{errant}"] * bool(errant)
    return GtidSet.parse(",".join(parts))


def offline(name: str, last: int = 0, *, view: str = "", state: str = "OFFLINE", **more: object) -> DatabaseState:
    """Outside a group. `view` is "COUNTER:digits of its members", the primary first, such as "4:213"."""
    counter, _, digits = view.partition(":")
    members = tuple(f"server-{digit}" for digit in digits)
    seen = View(f"17:{counter}", members, members[0]) if view else View()
    executed = more.pop("executed", gtids(last))
    return DatabaseState(name, number(name), state, executed=executed, view=seen, **more)


def online(name: str, primary: str, members: dict[str, str], last: int = 9, **more: object) -> DatabaseState:
    """ONLINE in a view: `members` maps digits to states, such as {"12": "ONLINE", "3": "UNREACHABLE"}."""
    states = {f"server-{digit}": state for digits, state in members.items() for digit in digits}
    more = {"provisioned": True, "super_read_only": name != primary, "executed": gtids(last), "group_name": UUID} | more
    view = more.pop("view", View("17:4", tuple(sorted(states)), primary))
    return DatabaseState(name, number(name), "ONLINE", primary, states, view, **more)


def seen(
    local: DatabaseState | None,
    *peers: DatabaseState,
    token: Token | bool | None = False,
    claim: Claim | None = None,
    me: str = "server-1",
    configured: tuple[str, ...] = NAMES,
    **more: object,
) -> Observation:
    """An observation; without `token` the parameter store was not asked yet (None: it holds no token)."""
    registry = None if token is False else Registry(token or None, claim)
    by_name = {peer.server: peer for peer in peers}
    me = local.server if local else me
    return Observation(me, configured, "server-1", local, by_name, registry, **{"waited": 99.0} | more)
