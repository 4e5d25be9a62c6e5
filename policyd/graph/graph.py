"""A ruleset that follows pods of other nodes: what such a pod changes is worked out, and nothing else.

Made of a full build. A change gives the ruleset that a build of the new cluster would give, byte by byte, and
the elements that make the difference. Whatever may come to more than elements is not guessed: then the
answer is None, and the graph is of no use any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from policyd.cluster.idle import IdlePeer
from policyd.cluster.state import ClusterState
from policyd.graph.addresses import Addresses
from policyd.graph.ceilings import Ceilings
from policyd.graph.profiles import Counts, Profile, Profiles
from policyd.graph.tables import Uses, with_elements, with_notes
from policyd.kube.objects import Pod
from policyd.pipeline import Build, Ruleset
from policyd_compiler.delta import Changes
from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import Host, Isolation
from policyd_compiler.lower.chains import note_lines
from policyd_compiler.lower.lower import shared_isolations
from policyd_compiler.nft.ast import ChainName
from policyd_compiler.nft.keys import SetName
from policyd_compiler.one_host import CannotTell, OneHost
from policyd_compiler.walks import Answer

_Found: TypeAlias = dict[SetName, dict[int, Answer]]


@dataclass(frozen=True, slots=True)
class PodChange:
    """What a pod was, and what it is now; None where there is none of that key."""

    key: str
    before: Pod | None
    after: Pod | None


@dataclass(frozen=True, slots=True)
class Step:
    """The ruleset after a change, and by part and address what look-ups find before and after.

    `since`: the ruleset before.
    """

    since: Ruleset
    ruleset: Ruleset
    changes: Changes


class Graph:
    """The ruleset of one node for one cluster, and what it takes to follow pods of other nodes.

    The work of a change depends on the isolations of the node and their selectors, not on how many pods or
    other policies there are; but for the tuples of elements that it copies.
    """

    def __init__(self, built: Build, state: ClusterState, node: str) -> None:
        self.counts = Counts()
        #: Why it could not follow.
        self.reason = ""
        self._node, self._namespaces = node, state.namespaces
        self._addresses = Addresses(built.sources.resolved.claims, state.nodes.values())
        found = shared_isolations(built.sources.resolved.snapshot.endpoints)
        self._isolations = tuple(isolation for isolation, _ in found)
        self._judging = built.sources.lowered.judging
        resolver = built.sources.resolved.resolver
        self._profiles = Profiles(self._isolations, resolver, state.namespaces, self.counts)
        self._peers = [(policy, peer) for policy, peer, _ in resolver.selecting()]
        self._selecting = [pods for _, _, pods in resolver.selecting()]
        self._first: dict[ChainName, int] = {}
        for place, judging in enumerate(self._judging):
            for judges in judging.judges.values():
                self._first.setdefault(judges.asking, place)
        self._hosts = [
            OneHost(isolation, judging, built.sources.lowered)
            for isolation, judging in zip(self._isolations, self._judging, strict=True)
        ]
        self._ceilings = Ceilings(built, self._isolations, self._hosts)
        self._uses = Uses(built.table, built.sources.lowered.peers.values())
        # Without what it was made of, which may be large.
        self._ruleset = Ruleset(
            built.table, built.owners, built.warnings, built.stats, built.findings, built.idle, built.over
        )
        # With some policies closed for their cost, others may be opened by a pod that goes.
        self._is_of_use = not built.over

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset after the last change that was followed."""
        return self._ruleset

    def change(self, pods: Iterable[PodChange]) -> Step | None:
        """Take changes of pods, all of them since the last time; None where a build has to tell."""
        if not self._is_of_use:
            return None
        self._is_of_use = False  # unless all goes well
        try:
            step = self._change([each for each in pods if each.before != each.after])
        except CannotTell as why:
            self.reason = str(why)
            return None
        self._ruleset, self._is_of_use = step.ruleset, True
        return step

    def _change(self, pods: list[PodChange]) -> Step:
        for each in pods:
            self._check(each.before)
            self._check(each.after)
        before: _Found = {}
        after: _Found = {}
        turned = _Turned()
        for each in pods:
            if each.before is not None:
                self._count(each.before, self._addresses.leave(each.before), before, turned, by=-1)
        for each in pods:
            if each.after is not None:
                self._count(each.after, self._addresses.enter(each.after), after, turned, by=1)
        changes = _differing(before, after)
        self._ceilings.change(changes)
        self._ceilings.check(turned.touched)
        self.counts.elements += sum(map(len, changes.values()))
        self._uses.change(changes)
        return Step(self._ruleset, self._rebuilt(changes, turned), changes)

    def _check(self, pod: Pod | None) -> None:
        if pod is None:
            return
        if pod.node == self._node:
            raise CannotTell("a pod of this node changes")
        if pod.namespace not in self._namespaces:
            raise CannotTell("a namespace is not known (NP-168)")

    def _count(self, pod: Pod, host: Host | None, found: _Found, turned: _Turned, *, by: int) -> None:
        """A pod comes or goes, and with it what rules make of it."""
        if host is None:
            return
        profile = self._profiles.of(pod)
        if not profile.certain:
            raise CannotTell("a rule names a port that the pod has")
        for number in profile.peers:
            self._selecting[number] = count = self._selecting[number] + by
            turned.idle = turned.idle or count in (0, by)
        self._count_rules(profile, turned, by)
        for place, matching, grouped in profile.named:
            for name, address, answer in self._hosts[place].elements(matching, grouped, host):
                of_part = found.setdefault(name, {})
                if of_part.setdefault(address, answer) != answer:
                    raise CompilerBug(f"two isolations differ about {name}")

    def _count_rules(self, profile: Profile, turned: _Turned, by: int) -> None:
        for number in profile.rules:
            rule = self._profiles.rules[number]
            was_alive = rule.is_alive
            rule.hosts += by
            if was_alive != rule.is_alive:
                turned.rules ^= {number}
            for place, _ in rule.users:
                self._ceilings.count(place, by)
                turned.touched.add(place)

    def _rebuilt(self, changes: Changes, turned: _Turned) -> Ruleset:
        old = self._ruleset
        table = with_notes(with_elements(old.table, changes), self._notes(turned.rules))
        more = sum(
            (after is not None) - (before is not None)
            for of_part in changes.values()
            for before, after in of_part.values()
        )
        idle = self._idle() if turned.idle else old.idle
        stats = replace(old.stats, elements=old.stats.elements + more, idle_peers=len(idle))
        return Ruleset(table, old.owners.of(table), old.warnings, stats, old.findings, idle)

    def _idle(self) -> tuple[IdlePeer, ...]:
        pairs = zip(self._peers, self._selecting, strict=True)
        return tuple(peer for peer, pods in pairs if not pods)

    def _notes(self, turned: Iterable[int]) -> dict[ChainName, tuple[str, ...]]:
        """The notes of chains of which rules came to life, or died."""
        places = {place for number in turned for place, _ in self._profiles.rules[number].users}
        notes: dict[ChainName, tuple[str, ...]] = {}
        for place in sorted(places):
            judging, isolation = self._judging[place], self._isolations[place]
            lines = note_lines(self._alive(isolation), judging.endpoints)
            # Where isolations have a chain in common, it says what the first of them does.
            names = (judges.asking for judges in judging.judges.values())
            notes.update((name, lines) for name in names if self._first[name] == place)
        return notes

    def _alive(self, isolation: Isolation) -> Isolation:
        stages = (
            replace(stage, rules=tuple(rule for rule in stage.rules if self._profiles.is_alive(rule)))
            for stage in isolation.stages
        )
        return replace(isolation, stages=tuple(stages))


@dataclass(slots=True)
class _Turned:
    """What came to life or died: rules, by number, and whether peers select nobody, or no longer nobody.

    `touched`: the isolations, by number, of which rules name more or fewer hosts.
    """

    rules: set[int] = field(default_factory=set)
    idle: bool = False
    touched: set[int] = field(default_factory=set)


def _differing(before: _Found, after: _Found) -> Changes:
    """By part and address, what look-ups find before and after, where that differs."""
    found: dict[SetName, dict[int, tuple[Answer, Answer]]] = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name, {}), after.get(name, {})
        pairs = ((address, old.get(address), new.get(address)) for address in old | new)
        if differing := {address: (one, other) for address, one, other in pairs if one != other}:
            found[name] = differing
    return found
