"""The isolations of one node: which there are, made one by one, and the ruleset that they are together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from policyd.cluster.attachments import Attachments
from policyd.cluster.idle import IdlePeer
from policyd.cluster.peers import RuleResolver
from policyd.cluster.tiers import TierPolicies
from policyd.graph.assemble import (
    Setting,
    assemble,
    chains_of,
    endpoint_of,
    in_order,
    note,
    owners_of,
    snapshot_of,
)
from policyd.graph.ceilings import Ceilings
from policyd.graph.claims import Holding, Row
from policyd.graph.hosts import Hosts, Turned
from policyd.graph.ledger import Ledger
from policyd.graph.places import DIRECTIONS, Asked, Places, Policies
from policyd.graph.profiles import Counts, Profiles
from policyd.graph.spaces import Spaces
from policyd.graph.units import Made, Maker, Sets, Source, Unit, UnitKey, ceiling_of, through_passes
from policyd.kube.objects import KubeObject, Node
from policyd.pipeline import Build, Ruleset, count
from policyd_compiler.ir import Direction, Endpoint, Isolation
from policyd_compiler.lower.lower import families_of, shared_isolations
from policyd_compiler.lower.objects import Objects
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import ChainName, Goto, Table, Verdict
from policyd_compiler.nft.keys import PortSide
from policyd_compiler.one_host import OneHost
from policyd_compiler.ports import PortSet

#: An isolation that there has to be: what it follows from, and the endpoints that share it.
_Wanted: TypeAlias = tuple[Source, list[Endpoint]]


class Judging:
    """What judges the pods of a node."""

    def __init__(
        self,
        built: Build,
        holding: Holding,
        policies: Policies,
        spaces: Spaces,
        setting: Setting,
        counts: Counts,
    ) -> None:
        self.setting, self._counts = setting, counts
        self._holding = holding
        self.profiles = Profiles(spaces.selected_by, holding.index, counts)
        lowered = built.sources.lowered
        self.ledger = Ledger(built.table, lowered.peers.values())
        self.hosts = Hosts(self.profiles, self.ledger, counts)
        self._ceilings = Ceilings(setting.budget)
        self._verdicts: dict[tuple[PortSet, PortSide], Verdict] = dict(lowered.verdicts)
        self._tiers = policies.tiers
        self._places = Places(policies, setting.node, setting.closed, setting.budget)
        self._places.move((), holding.rows(lambda pod: pod.node == setting.node))
        self._endpoints: dict[str, tuple[tuple[Unit | None, ...], Endpoint]] = {}
        self._next = 0
        self._has_other_nodes = False
        self._adopt(built)

    def _adopt(self, built: Build) -> None:
        """Take over the isolations of a build."""
        sources = built.sources
        resolver, tiers, lowered = sources.resolved.resolver, sources.resolved.tiers, sources.lowered
        self._ask(self._places.spaces(), resolver, tiers)
        followed: dict[int, Source] = {}
        for endpoint in sources.resolved.snapshot.endpoints:
            for direction, source in self._places.sources[endpoint.key].items():
                followed[id(_of(endpoint, direction))] = source
        chains = chains_of(built.table)
        self._by_key: dict[UnitKey, Unit] = {}
        found = shared_isolations(sources.resolved.snapshot.endpoints)
        for (isolation, endpoints), judging in zip(found, lowered.judging, strict=True):
            source = followed[id(isolation)]
            ceiling = None
            if source.tiers:
                ceiling = ceiling_of(isolation, source, endpoints, self._holding.indexes, self._ceilings.most)
            unit = Unit(
                self._place(),
                source,
                isolation,
                through_passes(isolation),
                Made.of(isolation, source, resolver, tiers),
                judging,
                {name: chains[name].rules for name in judging.chains()},
                OneHost(isolation, judging, Sets(lowered.peers, self._verdicts)),
                self._holding.version,
                ceiling,
            )
            self._by_key[unit.key] = unit
            self.hosts.add(unit)
        self._settle()
        self.idle()
        self._ceilings.change(self.hosts.units.values(), self._ports())

    def _place(self) -> int:
        self._next += 1
        return self._next

    @property
    def nodes(self) -> Iterable[Node]:
        """The nodes there are."""
        return self.setting.nodes.values()

    def attach(self, attachments: Attachments | None) -> bool:
        """Take what is known of interfaces; whether that is something else."""
        if attachments is None or attachments == self.setting.attachments:
            return False
        self.setting = replace(self.setting, attachments=attachments)
        return True

    def renode(self, before: KubeObject | None, after: KubeObject | None) -> bool:
        """A node was, and is now; whether that makes a difference."""
        nodes = dict(self.setting.nodes)
        if isinstance(before, Node):
            nodes.pop(before.name, None)
        if isinstance(after, Node):
            nodes[after.name] = after
        self.setting = replace(self.setting, nodes=nodes)
        self._has_other_nodes = True
        return True

    def spaces(self) -> set[str]:
        """The namespaces of this node's pods."""
        return self._places.spaces()

    def move(self, gone: Iterable[Row], come: Iterable[Row]) -> set[str]:
        """Hosts go and come: the namespaces of those that are of this node."""
        return self._places.move(gone, come)

    def narrowed(self, touched: Iterable[int]) -> set[int]:
        """Which of these isolations, by place, a bridge asks what they let a pod send to whomever."""
        places = touched if self.setting.is_bridged else ()
        return {place for place in places if self.hosts.units[place].narrows}

    def make(self, turned: Turned, spaces: set[str], come: int, before: Table) -> None:
        """Find out which isolations there have to be, and make those that are new, or that are dirty.

        `spaces`: the namespaces of which pods of this node, or policies, have changed. `come`: so many hosts
        have come.
        """
        resolver = RuleResolver(self._holding.index, self._holding)
        tiers = self._tiers.against(self._holding.index, self._holding, self.nodes, self.setting.closed)
        stale = {unit.place for unit in self.hosts.units.values() if self._is_stale(unit, turned)}
        for place in self.profiles.users(turned.rules):
            self.hosts.units[place].lines = None
        asked, wanted, kept = self._find(spaces, stale, resolver, tiers)
        gone = [key for key in self._by_key if key not in kept]
        for key in gone:
            self.hosts.remove(self._by_key.pop(key))
        new = [each for key, each in wanted.items() if key not in kept]
        maker = Maker(
            resolver, tiers, self._holding.indexes, self._holding.version, self._verdicts, self._ceilings.most
        )
        for source, endpoints in new:
            isolation = asked.isolations.make(source.direction, asked.parts[source.key])
            self._add(maker, source, isolation, endpoints)
        for key in kept:
            unit, keys = self._by_key[key], tuple(each.key for each in wanted[key][1])
            if unit.judging.endpoints != keys:
                unit.judging, unit.lines = replace(unit.judging, endpoints=keys), None
        self._settle()
        self._assemble(before)
        self._ceilings.change(self.hosts.units.values(), self._ports())
        made = {self._by_key[source.key].space for source, _ in new}
        if turned.idle or new or gone or (self._idle and self._asked_for_idle != self._places_by_address()):
            self.idle()
        touched = {u.space for p in turned.touched if (u := self.hosts.units.get(p)) is not None}
        self._check(made | touched, come)
        self._has_other_nodes = False

    def _find(
        self, spaces: set[str], stale: set[int], resolver: RuleResolver, tiers: TierPolicies
    ) -> tuple[Asked, dict[UnitKey, _Wanted], set[UnitKey]]:
        """What isolations follow from, which there have to be, and which of these are good as they are."""
        spaces = spaces.union(*(self._spaces_of(self.hosts.units[place]) for place in stale))
        while True:
            asked = self._ask(spaces, resolver, tiers)
            wanted = self._wanted()
            kept = {key for key, (_, endpoints) in wanted.items() if self._is_good(key, endpoints, stale)}
            # Of pods of several namespaces: one went that alone had an address of a family.
            keys = (
                each.key for key in wanted if key not in asked.parts.keys() | kept for each in wanted[key][1]
            )
            more = {pod.namespace for key in keys for pod in self._places.rows[key].pods}
            if more <= spaces:
                return asked, wanted, kept
            spaces = spaces | more

    def _is_stale(self, unit: Unit, turned: Turned) -> bool:
        # On a bridge all that it says of any peer may be asked for.
        is_asked = self.setting.is_bridged and unit.version != self._holding.version
        return unit.place in turned.dirty or is_asked or (self._has_other_nodes and unit.asks_nodes)

    def _spaces_of(self, unit: Unit) -> set[str]:
        if not unit.has_tiers:
            return {policy.namespace for policy in unit.source.named}
        rows = (self._places.rows.get(key) for key in unit.judging.endpoints)
        return {pod.namespace for row in rows if row is not None for pod in row.pods}

    def _is_good(self, key: UnitKey, endpoints: Sequence[Endpoint], stale: set[int]) -> bool:
        unit = self._by_key.get(key)
        if unit is None or unit.place in stale:
            return False
        return tuple(unit.judging.judges) == families_of(endpoints)

    def _add(self, maker: Maker, source: Source, isolation: Isolation, endpoints: Sequence[Endpoint]) -> None:
        self._counts.units += 1
        objects = Objects(self.setting.options.deny, Names(), maker.lists)
        unit = maker.make(self._place(), source, isolation, endpoints, objects)
        self._verdicts.update(objects.verdicts)
        self.ledger.add(
            (*objects.sets.values(), *objects.maps.values()), objects.chains.values(), objects.peers.values()
        )
        self._by_key[unit.key] = unit
        self.hosts.add(unit)

    def _ask(self, spaces: set[str], resolver: RuleResolver, tiers: TierPolicies) -> Asked:
        asked = self._places.ask(spaces, resolver, tiers)
        self._counts.endpoints += len(self._places.rows)
        return asked

    def _wanted(self) -> dict[UnitKey, _Wanted]:
        """What each isolation follows from that there has to be, and the endpoints that share it."""
        found: dict[UnitKey, _Wanted] = {}
        for key in self._places.in_order():
            endpoint = Endpoint(key, self._places.rows[key].host, None, None)
            for source in self._places.sources[key].values():
                found.setdefault(source.key, (source, []))[1].append(endpoint)
        return found

    def _settle(self) -> None:
        """Which isolation judges whom."""
        self._first: dict[ChainName, int] = {}
        units = {key: self._units_of(key) for key in self._places.in_order()}
        endpoints = (self._endpoint(key, of_key) for key, of_key in units.items())
        self._snapshot = snapshot_of(endpoints, self.setting)
        # With their interfaces, of which most are the same the next time.
        self._endpoints = {e.key: (units[e.key], e) for e in self._snapshot.endpoints}
        self._ordered = in_order(self._snapshot, units)
        for unit, _ in self._ordered:
            for judges in unit.judging.judges.values():
                self._first.setdefault(judges.asking, unit.place)

    def _units_of(self, key: str) -> tuple[Unit | None, ...]:
        """The isolations of an endpoint: ingress, egress."""
        sources = self._places.sources[key]
        return tuple(self._by_key[sources[d].key] if d in sources else None for d in DIRECTIONS)

    def _endpoint(self, key: str, units: tuple[Unit | None, ...]) -> Endpoint:
        known, row = self._endpoints.get(key), self._places.rows[key]
        if known is not None and known[0] == units and known[1].host == row.host:
            return known[1]
        return endpoint_of(row, *units)

    def _assemble(self, before: Table) -> None:
        for unit, _ in self._ordered:
            note(unit, self.profiles)
        self._table = assemble(
            self._snapshot,
            self._ordered,
            self.ledger,
            self._holding.indexes,
            before,
            self.setting.options,
        )
        there = self.ledger.chains
        for key in [k for k, v in self._verdicts.items() if isinstance(v, Goto) and v.chain not in there]:
            del self._verdicts[key]

    def ruleset(self) -> Ruleset:
        """The ruleset that was made last."""
        table, idle = self._table, self._idle
        stats = count(self._snapshot.endpoints, table, self._places.selecting, len(idle))
        return Ruleset(table, owners_of(table, (unit for unit, _ in self._ordered)), (), stats, (), idle)

    def idle(self) -> tuple[IdlePeer, ...]:
        """The peers that select nobody, in the order in which a build resolves them."""
        selecting = self.profiles.selecting
        self._asked_for_idle = self._places_by_address()
        found: dict[tuple[int, int], IdlePeer] = {}
        for unit in (self.hosts.units[place] for place in self._asked_for_idle):
            for (policy, peer), number in unit.peers:
                if not selecting[number]:
                    found.setdefault((id(policy), id(peer)), (policy, peer))
        self._idle = tuple(found.values())
        return self._idle

    def _places_by_address(self) -> tuple[int, ...]:
        """The isolations in the order in which a build resolves them."""
        found = (u.place for key in self._places.by_address() for u in self._units_of(key) if u is not None)
        return tuple(dict.fromkeys(found))

    def notes(self, turned: Iterable[int]) -> Mapping[ChainName, tuple[str, ...]]:
        """The notes of chains of which rules came to life, or died."""
        found: dict[ChainName, tuple[str, ...]] = {}
        for place in sorted(self.profiles.users(turned)):
            unit = self.hosts.units[place]
            unit.lines = None
            lines = note(unit, self.profiles)
            # Where isolations have a chain in common, it says what the first of them does.
            names = (judges.asking for judges in unit.judging.judges.values())
            found.update((name, lines) for name in names if self._first[name] == place)
        return found

    def check(self, touched: Iterable[int], come: int) -> None:
        """Raises CannotTell if policies of these isolations may be over their budget, by hosts that come."""
        self._check({self.hosts.units[place].space for place in touched}, come)

    def _check(self, spaces: Iterable[str], come: int = 0) -> None:
        self._ceilings.check(spaces, come, self.ledger.parts, self.profiles)

    def _ports(self) -> Iterator[PortSet]:
        return (ports for ports, side in self._verdicts if side == "dport")


def _of(endpoint: Endpoint, direction: Direction) -> Isolation | None:
    return endpoint.ingress if direction == "ingress" else endpoint.egress
