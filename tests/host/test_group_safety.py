"""Any order of crashes, cuts, restarts and decisions: no write is lost, no two members lead at once.

A model of Group Replication with the real decision function. A write is acknowledged only by a primary whose role
check says so, and reaches a majority of its view; members outside that majority may be late. Only the primary has it
on its disk at once: what another has just received it loses with its power. A group numbers its transactions from what
its primary has, as MySQL does, so that two of them may have the same number; what they wrote tells them apart.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.host.group_model import Group, Node, runs
from userdata.host.database_state import DatabaseState, View
from userdata.host.group_decision import (
    CLAIM_EXPIRES,
    CLAIM_HOLDS,
    GRACE,
    Claim,
    Kind,
    Observation,
    Registry,
    Token,
    decide,
)
from userdata.host.gtid import GtidSet
from userdata.host.role_check import writer


class Cluster(RuleBasedStateMachine):
    size = 3

    @initialize()
    def start(self):
        self.nodes = [Node(f"server-{number}", number) for number in range(1, self.size + 1)]
        self.cuts: set[frozenset[str]] = set()
        self.now = 0.0
        self.token: Token | None = None
        self.claims: list[tuple[str, float, bool, str]] = []
        self.bootstraps: list[tuple[float, str, int]] = []
        self.groups = 0
        self.next = 1
        self.acknowledged: set[int] = set()
        self.settle(range(5), 0.0)
        self.write(set())

    # The world

    def reaches(self, one, other):
        return one is other or (one.up and other.up and frozenset((one.name, other.name)) not in self.cuts)

    def regroup(self):
        """What members of a group that lost each other do: the majority goes on, the others give up."""
        for group in {id(n.group): n.group for n in self.nodes if n.group}.values():
            before = list(group.members)
            for seed in before:
                side = [node for node in before if node.up and all(self.reaches(node, n) for n in (seed, node))]
                side = [n for n in side if all(self.reaches(n, other) for other in side)]
                if len(side) * 2 > len(before):
                    self.set_view(group, side)
                    break
            else:
                if any(not self.reaches(a, b) for a in before for b in before):
                    side = []
                    group.members = []
                else:
                    side = before
            for node in before:
                if node not in side:
                    node.group, node.read_only = None, True
                    node.state = "ERROR" if node.up else "OFFLINE"
                    node.unsent = node.up

    def set_view(self, group, members):
        if members == group.members:
            return
        was = group.members[0] if group.members else None
        group.members, group.counter = list(members), group.counter + 1
        # What one of a surviving majority has received, all of it get before anything else happens.
        everything = {gtid: wrote for node in members for gtid, wrote in node.data.items()}
        for node in members:
            self.receive(node, everything)
            if not group.view.first:
                node.view = group.view
            node.provisioned = any(n.provisioned for n in members)
        if members[0] is not was:
            # It takes writes when it has applied what it received.
            members[0].read_only, members[0].unsynced = False, set()

    def receive(self, node, transactions):
        """What it has already it does not look at: the number alone says so."""
        node.unsynced |= transactions.keys() - node.data.keys()
        node.data = {**transactions, **node.data}

    def report(self, node):
        members = {n.name: "ONLINE" for n in node.group.members} if node.group else {}
        names = sorted({name for name, _ in node.data})
        data = GtidSet({name: runs(number for of, number in node.data if of == name) for name in names})
        view = node.group.view if node.group else node.view
        primary = view.primary if node.group else None
        return DatabaseState(
            node.name, node.number, node.state, primary, members, view, node.read_only, data,
            provisioned=node.provisioned, group_name=node.group.name if node.group else "", intended=node.intended,
        )  # fmt: skip

    def registry(self):
        claim = None
        if self.claims:
            server, at, done, name = self.claims[-1]
            claim = Claim(len(self.claims), server, done, self.now - at, name)
        return Registry(self.token, claim)

    def observe(self, node):
        peers = {n.name: self.report(n) for n in self.nodes if n is not node and self.reaches(node, n)}
        names = tuple(n.name for n in self.nodes)
        local = self.report(node)
        seen = Observation(node.name, names, "server-1", local, peers, fenced=node.fenced, forced=node.forced)
        if node.group or len(peers) + 1 < seen.majority or any(peer.quorate for peer in peers.values()):
            node.alone_since = None
            return seen
        node.alone_since = self.now if node.alone_since is None else node.alone_since
        return replace(seen, waited=self.now - node.alone_since)

    # What can happen

    @rule(which=st.integers(0, 4))
    def step(self, which):
        """One look of one member."""
        node = self.nodes[which % self.size]
        if node.up:
            seen = self.observe(node)
            action = decide(seen)
            if action.kind is Kind.CONSULT:
                action = decide(replace(seen, registry=self.registry()))
            self.act(node, action)
            if not (node.read_only and node.group):
                node.fenced = False
            self.complete(node)

    def act(self, node, action):
        do = {
            Kind.CREATE_TOKEN: self.create_token,
            Kind.CLAIM: self.claim,
            Kind.BOOTSTRAP: self.bootstrap,
            Kind.JOIN: self.join,
            Kind.LEAVE: self.leave,
            Kind.RESTART: self.restart,
            Kind.PROVISION: self.provision,
            Kind.FENCE: self.fence,
            Kind.UNFENCE: self.unfence,
        }.get(action.kind)
        if do:
            do(node, action)

    def create_token(self, node, _):
        self.token = self.token or Token(node.name, complete=False)

    def claim(self, node, action):
        if action.number == len(self.claims) + 1:
            self.claims.append((node.name, self.now, False, f"group-{action.number}"))

    def restart(self, node, _):
        assert node.group is None or node.group.counter == 1, "whoever is in a group is not thrown out of it"
        if node.group:
            self.leave(node)
        node.state, node.unsent = "OFFLINE", False

    def bootstrap(self, node, action):
        assert node.state == "OFFLINE"
        assert not node.unsent
        self.bootstraps.append((self.now, node.name, len(self.claims)))
        self.groups += 1
        node.state, node.group = "ONLINE", Group(self.groups, action.group_name)
        if node.forced:
            self.acknowledged &= set(node.data.values())
            node.forced = False
        self.set_view(node.group, [node])
        node.intended = node.group.view.fixed

    def provision(self, node, _):
        node.provisioned = True
        self.commit(node.group)

    def fence(self, node, _):
        node.read_only = node.fenced = True

    def unfence(self, node, _):
        node.read_only = node.fenced = False

    def complete(self, node):
        if node.group and node.group.members[0] is node and len(node.group.members) >= self.size // 2 + 1:
            self.token = replace(self.token, complete=True)
            if self.claims:
                server, at, _, name = self.claims[-1]
                self.claims[-1] = (server, at, True, name)

    @rule(order=st.permutations(range(5)), patience=st.sampled_from([0.0, GRACE, CLAIM_EXPIRES]))
    def settle(self, order, patience):
        """Everybody looks many times, in any order, for a while: what comes about if nothing else happens."""
        for turn in range(10):
            for which in order:
                if which < self.size:
                    self.step(which)
            self.wait(patience if turn == 1 else 1.0)

    @rule(
        order=st.permutations(range(5)),
        lost=st.sets(st.integers(0, 4), max_size=2),
        apart=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    )
    def outage(self, order, lost, apart):
        """Everything loses power; some do not come back, two may not see each other."""
        self.lose_all_power()
        for which in range(self.size):
            self.nodes[which].up = which not in lost
        self.cut(*apart)
        self.settle(order, GRACE)

    def join(self, node, action):
        group = next(n.group for n in self.nodes if n.name == action.seeds[0])
        if group is None or not all(self.reaches(node, other) for other in group.members):
            return
        assert not node.unsent, "what it has to send would reach another group"
        donor = group.members[0]
        assert action.group_name == group.name
        if action.clone:
            node.data = {}
        if not node.data.keys() <= donor.data.keys():
            return  # Group Replication itself refuses
        node.state, node.group, node.intended = "ONLINE", group, action.group
        self.set_view(group, [*group.members, node])

    @rule(which=st.integers(0, 4), killed=st.integers(0, 4))
    def lose_the_group_while_joining(self, which, killed):
        """Whom a member joins, after a write that it missed, are lost before it has a view: it is left alone."""
        node = self.nodes[which % self.size]
        self.lose_power(which)
        self.write(set())
        self.come_up(which)
        action = decide(self.observe(node)) if node.up else None
        if not action or action.kind is not Kind.JOIN:
            return
        joined = next(n.group for n in self.nodes if n.group and n.name in action.seeds)
        for number, other in enumerate(list(joined.members)):
            other.group, other.state, other.read_only, other.unsent = None, "ERROR", True, True
            if number == killed % len(joined.members):
                self.forget(other)
        joined.members = []
        if action.clone:
            node.data = {}
        self.groups += 1
        node.state, node.group, node.intended = "ONLINE", Group(self.groups, joined.name), action.group
        self.set_view(node.group, [node])

    def leave(self, node, _=None):
        group, node.group, node.state, node.read_only = node.group, None, "OFFLINE", True
        if group is None:
            return
        if len(group.members) > 1:
            self.set_view(group, [n for n in group.members if n is not node])
        else:
            group.members = []

    @rule(which=st.integers(0, 4))
    def accept_loss(self, which):
        """As the runbook says when members are lost for good; one of them may come back all the same."""
        node = self.nodes[which % self.size]
        node.forced = node.up and node.group is None

    @rule(which=st.integers(0, 4), order=st.permutations(range(5)))
    def outage_with_a_loss(self, which, order):
        """Everything loses power, the primary does not come back, and another leads by an operator's word."""
        primary = next((n.group.members[0] for n in self.nodes if n.group), self.nodes[0])
        self.lose_all_power()
        for node in self.nodes:
            node.up = node is not primary
        self.accept_loss(which)
        self.settle(order, GRACE)

    @rule(which=st.integers(0, 4))
    def stop_cleanly(self, which):
        node = self.nodes[which % self.size]
        if node.up and node.group:
            self.leave(node)

    @rule(which=st.integers(0, 4))
    def lose_power(self, which):
        node = self.nodes[which % self.size]
        node.up = False
        self.regroup()
        self.forget(node)

    def forget(self, node):
        node.state, node.group, node.read_only, node.alone_since, node.unsent = "OFFLINE", None, True, None, False
        node.data = {gtid: wrote for gtid, wrote in node.data.items() if gtid not in node.unsynced}
        node.unsynced = set()

    @rule()
    def lose_all_power(self):
        for which in range(self.size):
            self.nodes[which].up = False
        self.regroup()
        for node in self.nodes:
            self.forget(node)

    @rule(which=st.integers(0, 4))
    def come_up(self, which):
        self.nodes[which % self.size].up = True

    @rule()
    def all_come_up(self):
        for node in self.nodes:
            node.up = True

    @rule(one=st.integers(0, 4), other=st.integers(0, 4))
    def cut(self, one, other):
        a, b = self.nodes[one % self.size], self.nodes[other % self.size]
        if a is not b:
            self.cuts.add(frozenset((a.name, b.name)))
            self.regroup()

    @precondition(lambda self: self.cuts)
    @rule()
    def heal(self):
        self.cuts.clear()

    @rule(seconds=st.sampled_from([1.0, 10.0, GRACE, CLAIM_HOLDS, CLAIM_EXPIRES]))
    def wait(self, seconds):
        self.now += seconds
        for node in self.nodes:
            node.unsynced = set()

    @rule(late=st.sets(st.integers(0, 4)))
    def write(self, late):
        """A client writes wherever a role check lets it."""
        for node in self.nodes:
            if node.up and writer(self.report(node), self.size // 2 + 1)[0]:
                self.acknowledged.add(self.commit(node.group, late))

    def commit(self, group, late=()):
        wrote, self.next = self.next, self.next + 1
        primary, *others = group.members
        number = max((n for name, n in primary.data if name == group.name), default=0) + 1
        primary.data[group.name, number] = wrote
        slow = [n for n in others if n.number - 1 in late][: len(others) // 2]
        for node in others:
            if node not in slow:
                self.receive(node, {(group.name, number): wrote})
        return wrote

    @rule(which=st.integers(0, 4))
    def lose_disk(self, which):
        """One disk at a time: the others still have everything that was acknowledged."""
        node = self.nodes[which % self.size]
        others = [n for n in self.nodes if n is not node]
        if not node.up and all(self.acknowledged <= set(n.data.values()) for n in others):
            node.data, node.view, node.provisioned = {}, View(), False

    # What must hold

    @invariant()
    def one_writer_at_most(self):
        majority = self.size // 2 + 1
        assert sum(writer(self.report(node), majority)[0] for node in self.nodes if node.up) <= 1

    @invariant()
    def nothing_acknowledged_is_lost(self):
        for node in self.nodes:
            if node.up and writer(self.report(node), self.size // 2 + 1)[0]:
                assert self.acknowledged <= set(node.data.values())

    @invariant()
    def members_agree_on_what_a_number_means(self):
        for node in self.nodes:
            for other in node.group.members if node.group else ():
                shared = node.data.keys() & other.data.keys()
                assert all(node.data[gtid] == other.data[gtid] for gtid in shared)

    @invariant()
    def no_two_members_lead_at_once(self):
        for (at, one, claim), (later, other, next_claim) in zip(self.bootstraps, self.bootstraps[1:], strict=False):
            if one != other:
                _, _, settled, _ = self.claims[claim - 1]
                assert claim < next_claim
                assert settled or later - at >= CLAIM_EXPIRES - CLAIM_HOLDS


class LargerCluster(Cluster):
    size = 5


LIMITS = settings(max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
TestThreeMembers = Cluster.TestCase
TestThreeMembers.settings = LIMITS
TestFiveMembers = LargerCluster.TestCase
TestFiveMembers.settings = LIMITS
