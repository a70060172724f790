"""What a member of the group does next: a pure function of what it observes.

Why at most one group can be led at a time
------------------------------------------
1. *The first group.* It is led only by the server that created the one-shot token (an SSM parameter made without
   Overwrite, so exactly one creation succeeds). The token says who and when. Until a majority of the configured
   members has been ONLINE (then the primary marks the token complete), its owner may lead again after a crash,
   provided it still holds every transaction that any answering member holds, and a majority of the last view answers.
2. *After a full outage.* Members may see different peers and so compute different leaders (A sees B, C sees B, A and
   C do not see each other). The comparison alone is therefore not enough: the leader must also create the next
   numbered claim, again a parameter made without Overwrite. A claim that is not done blocks everyone else for
   CLAIM_EXPIRES seconds of AWS's own clock; its holder may lead only during the first CLAIM_HOLDS seconds, so even
   a holder that stalls stops long before another may begin. The holder looks once more at its peers between
   claiming and leading. The first group goes through a claim, too.
3. *Nothing acknowledged is left behind.* A leader must hold a superset of all that the answering members hold; those
   that count must be a majority of the configured members, and also a majority of the newest view that any of them
   remembers (a view can only be followed by one that its majority agreed to, so a later writer would show). That
   view's primary must be among them: the others had received what it acknowledged, but in memory, and have it on
   their disks only when they have applied it (docs/adr/0017). A member whose data is gone or damaged is no witness:
   it does not count.
4. *A lone group is not writable.* A primary whose group is smaller than the majority of the configured members is
   fenced (super_read_only). Should a second group ever exist, at most one of them has a majority of the configured
   members; the other leaves and joins it, and Group Replication itself refuses what has diverged.
5. *Nobody begins a group by joining one.* When all whom a member joins are lost before it has a view, Group Replication
   leaves it as primary, alone, of a group of the same name with the data that it came with (docs/adr/0020). So each
   member knows the group that it began or came to join by what the ids of its views have in common: it ends its mysqld
   when it finds itself in another, and nobody joins it there. A first view takes no writes and is not remembered: it
   would pass for newer than the view of those who hold more.
6. *A number is never given twice.* Each claim names a UUID that was never used, and the group that it begins gives that
   to its transactions. So what a member holds that the new group did not begin with stays strange to it for ever,
   and such a member is refused for ever (docs/adr/0017).
7. *Nothing of an old group reaches a new one.* A primary that lost its majority answers that its pending writes
   failed, yet its mysqld may still hold their messages, and would send them to the next group that it enters: a group
   that has given the same keys to other rows then fails on every member, and again at each start, since they are in
   its relay logs (docs/adr/0012). So a mysqld whose membership ended with an error, or that could not start one twice,
   is ended and begins anew, with an empty queue and an empty relay log, before it joins or leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .database_state import DatabaseState, View
from .gtid import GtidSet

# Seconds to wait for configured members that do not answer, before a mere majority decides.
GRACE = 30.0

# Seconds by AWS's clock: how long a claim allows its holder to lead, and when others may claim next.
CLAIM_HOLDS = 60.0
CLAIM_EXPIRES = 120.0

# A start may fail because a peer was late; twice, and this mysqld itself is suspected.
SUSPECT = 2

_MEND = (
    "Bring the others back, restore a backup, or accept the loss: "
    "`PYTHONPATH=/usr/local/lib/tripod python3 -m host.group lead --accept-loss`"
)


class Kind(StrEnum):
    """What to do."""

    STAY = "stay"
    WAIT = "wait"
    REFUSE = "refuse"
    """Wait for a person: going on would lose data."""
    CONSULT = "consult"
    """Read the token and the claims, then decide again."""
    CREATE_TOKEN = "create token"
    CLAIM = "claim"
    BOOTSTRAP = "bootstrap"
    JOIN = "join"
    LEAVE = "leave"
    RESTART = "restart"
    """End mysqld; systemd starts it again."""
    PROVISION = "provision"
    FENCE = "fence"
    UNFENCE = "unfence"


@dataclass(frozen=True)
class Action:
    """One step and, for people, why."""

    kind: Kind
    reason: str
    seeds: tuple[str, ...] = ()
    """JOIN: names of the members of the group to join."""
    clone: bool = False
    """JOIN: take a whole copy; what is here is empty or damaged."""
    number: int = 0
    """CLAIM: the number to create."""
    group_name: str = ""
    """JOIN and BOOTSTRAP: the group's UUID."""
    group: str = ""
    """JOIN: `View.fixed` of the group to join."""


@dataclass(frozen=True)
class Token:
    """`/tripod/{stack}/group/initialised`."""

    server: str
    complete: bool


@dataclass(frozen=True)
class Claim:
    """The claim with the greatest number. `age` in seconds by AWS's clock, `group_name` of the group that it begins."""

    number: int
    server: str
    done: bool
    age: float
    group_name: str


@dataclass(frozen=True)
class Registry:
    """What the parameter store says. No token: this stack was never initialised."""

    token: Token | None = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Observation:
    """Everything a decision rests on. `peers` are those that answered with a running mysqld."""

    me: str
    configured: tuple[str, ...]
    preferred: str
    local: DatabaseState | None
    peers: Mapping[str, DatabaseState] = field(default_factory=dict)
    registry: Registry | None = None
    waited: float = 0.0
    """Seconds during which no group was seen."""
    fenced: bool = False
    forced: bool = False
    """An operator wants this server to lead with what it has."""
    stopping: bool = False
    """mysql.service is being stopped: it has left, or is about to leave, its group on purpose."""
    failed_starts: int = 0
    """How often in a row Group Replication could not be started in this mysqld."""

    @property
    def majority(self) -> int:
        """More than half of the configured members."""
        return len(self.configured) // 2 + 1


def decide(seen: Observation) -> Action:
    """The next step of this member."""
    local = seen.local
    if local is None:
        return Action(Kind.WAIT, "mysqld does not answer")
    if seen.stopping:
        return Action(Kind.WAIT, "mysql.service is being stopped")
    if local.member_state == "ONLINE":
        return _online(seen, local)
    if local.member_state == "RECOVERING":
        return Action(Kind.WAIT, "recovering from the group")
    if local.member_state == "ERROR":
        return Action(
            Kind.RESTART, "left its group with an error; what it still has to send must not reach the next one"
        )
    if seen.failed_starts >= SUSPECT:
        return Action(Kind.RESTART, f"could not start Group Replication {seen.failed_starts} times")
    group = _group(seen)
    if group:
        return _join(seen, local, group)
    busy = sorted(p.server for p in seen.peers.values() if p.member_state in ("ONLINE", "RECOVERING"))
    if busy:
        return Action(Kind.WAIT, f"{', '.join(busy)} in a group that cannot decide at the moment")
    return _outage(seen, local)


def _group(seen: Observation) -> tuple[DatabaseState, ...]:
    """The answering members of the group to join: of several, the one that reaches most members."""
    able = [peer for peer in seen.peers.values() if peer.sound]
    if not able:
        return ()
    best = max(able, key=_strength)
    return tuple(peer for peer in able if peer.view.id == best.view.id)


def _strength(state: DatabaseState) -> tuple[int, int]:
    """How good a claim a view has on the others: its size, then its lowest server (names are compared as text)."""
    return (state.online, -state.server_id)


def _online(seen: Observation, local: DatabaseState) -> Action:
    if not local.meant:
        return Action(Kind.RESTART, "not in the group that it came to join: members of that may hold what it does not")
    if local.online < seen.majority and local.quorate:
        rivals = [p for p in seen.peers.values() if p.sound and seen.me not in p.members]
        if rivals and _strength(max(rivals, key=_strength)) > _strength(local):
            return Action(Kind.LEAVE, f"{max(rivals, key=_strength).server} is in a group with a better claim")
    if not local.is_primary:
        return Action(Kind.STAY, f"replica of {local.primary}")
    if not local.quorate:
        return Action(Kind.WAIT, "primary without a majority of its group: writes wait, then fail")
    if not local.provisioned:
        if not local.super_read_only:
            return Action(Kind.PROVISION, "the accounts are not there yet")
        return Action(Kind.UNFENCE if seen.fenced else Kind.WAIT, "primary, the accounts are not there yet")
    if local.online < seen.majority:
        reason = f"primary of a group of {local.online}, {seen.majority} of {len(seen.configured)} are a majority"
        return Action(Kind.WAIT if local.super_read_only else Kind.FENCE, reason)
    if local.super_read_only and seen.fenced:
        return Action(Kind.UNFENCE, "the group has a majority of the configured members again")
    return Action(Kind.STAY, "primary")


def _join(seen: Observation, local: DatabaseState, group: tuple[DatabaseState, ...]) -> Action:
    members = {name for peer in group for name in peer.members}
    if seen.me in members:
        return Action(Kind.WAIT, "the group has not yet noticed that this server left it")
    if not any(peer.provisioned for peer in group):
        return Action(Kind.WAIT, "the group's primary is still creating the accounts")
    theirs = GtidSet()
    for peer in group:
        theirs |= peer.holds
    errant = local.holds - theirs
    if errant and max(peer.online for peer in group) < seen.majority:
        # It has decided nothing yet, and may turn out to be nobody's (rule 5).
        return Action(Kind.WAIT, f"{group[0].primary} leads too few members to decide, and does not hold {errant}")
    if errant:
        return Action(
            Kind.REFUSE,
            f"this server holds transactions that the group never had: {errant}; it must not join. "
            "Save them if they matter, then empty its data directory: it will be cloned",
        )
    seeds = tuple(sorted(members - {seen.me}))
    clone, name, fixed = not local.holds, group[0].group_name, group[0].view.fixed
    return Action(Kind.JOIN, f"joining {', '.join(seeds)}", seeds=seeds, clone=clone, group_name=name, group=fixed)


def _outage(seen: Observation, local: DatabaseState) -> Action:
    """Nobody that answers is in a group."""
    answering = {seen.me: local, **seen.peers}
    missing = [name for name in seen.configured if name not in answering]
    if len(answering) < seen.majority:
        return Action(Kind.WAIT, f"no group; waiting for {', '.join(missing)} ({seen.majority} make a majority)")
    if seen.registry is None:
        return Action(Kind.CONSULT, "no group; asking the parameter store")
    token = seen.registry.token
    witnesses = {name: state for name, state in answering.items() if state.holds}
    owner = answering.get(token.server) if token and not token.complete else None
    if owner and _superset(owner, answering) and not _gone(witnesses):
        if owner.server != seen.me:
            return Action(Kind.WAIT, f"no group; {owner.server} created the token and will lead")
        return _lead(seen, "created the token and holds all there is")
    if seen.forced:
        return _lead(seen, "an operator accepted the loss of what other members may hold")
    if token is None and not witnesses:
        witnesses = answering
    doubt = _doubt(seen, token, witnesses, missing)
    if doubt:
        return doubt
    leaders = [state for state in witnesses.values() if _superset(state, witnesses)]
    if not leaders:
        sets = "; ".join(f"{name} alone holds {_alone(state, witnesses)}" for name, state in sorted(witnesses.items()))
        return Action(Kind.REFUSE, f"the members have diverged and none holds everything: {sets}")
    leader = min(leaders, key=lambda state: (state.server != seen.preferred, state.server_id)).server
    if missing and seen.waited < GRACE:
        return Action(Kind.WAIT, f"no group; waiting {GRACE:g} s for {', '.join(missing)} before {leader} leads")
    if leader != seen.me:
        return Action(Kind.WAIT, f"no group; {leader} will lead")
    if token is None:
        return Action(Kind.CREATE_TOKEN, "the stack was never initialised; this server leads")
    return _lead(seen, "holds all that the members hold")


def _doubt(
    seen: Observation, token: Token | None, witnesses: Mapping[str, DatabaseState], missing: list[str]
) -> Action | None:
    """Why the witnesses may not decide, None when they may."""
    absent = f"; not answering: {', '.join(missing)}" if missing else ""
    kind = Kind.WAIT if missing else Kind.REFUSE
    if token and len(witnesses) < seen.majority:
        have = ", ".join(sorted(witnesses)) or "nobody"
        reason = f"the stack was initialised, but {have} of {len(seen.configured)} members has its data"
        return Action(kind, f"{reason}, {seen.majority} are needed{absent}. {_MEND}")
    gone = _gone(witnesses)
    if gone:
        return Action(kind, f"{', '.join(gone)} may hold newer writes, as members of the last view{absent}. {_MEND}")
    return None


def _gone(witnesses: Mapping[str, DatabaseState]) -> list[str]:
    """Members of the newest known view without whom nobody knows what was acknowledged; none when all is known.

    They are no witnesses, and those that are make no majority of the view, or the primary is among the missing.
    """
    views = [state.view for state in witnesses.values()]
    newest = max(views, key=lambda view: view.age, default=View())
    gone = sorted(set(newest.members) - set(witnesses))
    if len(gone) * 2 >= len(newest.members):
        return gone
    primaries = {view.primary for view in views if view.id == newest.id}
    return [name for name in gone if name in primaries]


def _superset(state: DatabaseState, others: Mapping[str, DatabaseState]) -> bool:
    return all(other.holds <= state.holds for other in others.values())


def _alone(state: DatabaseState, others: Mapping[str, DatabaseState]) -> str:
    rest = GtidSet()
    for name, other in others.items():
        if name != state.server:
            rest |= other.holds
    return str(state.holds - rest) or "nothing"


def _lead(seen: Observation, reason: str) -> Action:
    claim = seen.registry.claim if seen.registry else None
    if claim is None or claim.done or claim.age >= CLAIM_EXPIRES:
        return Action(Kind.CLAIM, reason, number=claim.number + 1 if claim else 1)
    if claim.server == seen.me and claim.age < CLAIM_HOLDS:
        return Action(Kind.BOOTSTRAP, reason, group_name=claim.group_name)
    return Action(Kind.WAIT, f"claim {claim.number} of {claim.server} to lead is {claim.age:.0f} s old, not done")
