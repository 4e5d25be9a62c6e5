"""The isolations of one node: which there are, made one by one, and the ruleset that they are together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from policyd.cluster.attachments import Attachments
from policyd.cluster.idle import IdlePeer
from policyd.cluster.isolations import Part
from policyd.cluster.peers import RuleResolver
from policyd.graph.assemble import Setting, assemble, chains_of, endpoints_of, in_order, note, owners_of
from policyd.graph.ceilings import Ceilings
from policyd.graph.claims import Holding, Row
from policyd.graph.hosts import Hosts, Turned
from policyd.graph.ledger import Ledger
from policyd.graph.places import DIRECTIONS, Policies, Selected, select
from policyd.graph.profiles import Counts, Profiles
from policyd.graph.spaces import Spaces
from policyd.graph.units import Made, Maker, Sets, Source, Unit, UnitKey, through_passes
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
_Wanted: TypeAlias = tuple[Source, tuple[Part, ...], list[Endpoint]]


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
        self._holding, self._policies = holding, policies
        self.profiles = Profiles(spaces.known, holding.index, counts)
        lowered = built.sources.lowered
        self.ledger = Ledger(built.table, lowered.peers.values())
        self.hosts = Hosts(self.profiles, self.ledger, counts)
        self._ceilings = Ceilings(setting.budget)
        self._verdicts: dict[tuple[PortSet, PortSide], Verdict] = dict(lowered.verdicts)
        self._rows = {row.key: row for row in holding.rows(lambda pod: pod.node == setting.node)}
        self._next = 0
        self._adopt(built)

    def _adopt(self, built: Build) -> None:
        """Take over the isolations of a build."""
        sources = built.sources
        resolver, lowered = sources.resolved.resolver, sources.lowered
        selected = self._select(resolver)
        followed: dict[int, Source] = {}
        endpoints = {each.key: each for each in sources.resolved.snapshot.endpoints}
        for row, parts_of in selected.places:
            for direction, parts in parts_of.items():
                isolation = _of(endpoints[row.key], direction)
                if id(isolation) not in followed:
                    followed[id(isolation)] = selected.source(direction, parts)
        chains = chains_of(built.table)
        self._by_key: dict[UnitKey, Unit] = {}
        found = shared_isolations(sources.resolved.snapshot.endpoints)
        for (isolation, _), judging in zip(found, lowered.judging, strict=True):
            source = followed[id(isolation)]
            unit = Unit(
                self._place(),
                source,
                isolation,
                through_passes(isolation),
                Made.of(isolation, source, resolver),
                judging,
                {name: chains[name].rules for name in judging.chains()},
                OneHost(isolation, judging, Sets(lowered.peers, self._verdicts)),
                self._holding.version,
            )
            self._by_key[unit.key] = unit
            self.hosts.add(unit)
        self._settle(selected)
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
        return True

    def has_pods_in(self, namespaces: set[str]) -> bool:
        """Whether any pod of this node is in one of these namespaces."""
        return any(pod.namespace in namespaces for row in self._rows.values() for pod in row.pods)

    def move(self, gone: Iterable[Row], come: Iterable[Row]) -> bool:
        """Hosts go and come; whether any is of this node."""
        is_local = False
        for row in gone:
            is_local = self._rows.pop(row.key, None) is not None or is_local
        for row in come:
            if any(pod.node == self.setting.node for pod in row.pods):
                self._rows[row.key] = row
                is_local = True
        return is_local

    def make(self, turned: Turned, before: Table) -> None:
        """Find out which isolations there have to be, and make those that are new, or that are dirty."""
        resolver = RuleResolver(self._holding.index, self._holding)
        selected = self._select(resolver)
        wanted = self._wanted(selected)
        for place in self.profiles.users(turned.rules):
            self.hosts.units[place].lines = None
        kept = {key for key, each in wanted.items() if self._is_good(key, each, turned)}
        for key in [key for key in self._by_key if key not in kept]:
            self.hosts.remove(self._by_key.pop(key))
        new = [each for key, each in wanted.items() if key not in kept]
        maker = Maker(resolver, self._holding.indexes, self._holding.version, self._verdicts)
        for source, parts, endpoints in new:
            isolation = selected.isolations.make(source.direction, parts)
            self._add(maker, source, isolation, endpoints)
        for key in kept:
            unit, keys = self._by_key[key], tuple(each.key for each in wanted[key][2])
            if unit.judging.endpoints != keys:
                unit.judging, unit.lines = replace(unit.judging, endpoints=keys), None
        self._settle(selected)
        spaces = {self._by_key[source.key].space for source, _, _ in new}
        self._assemble(before)
        self._ceilings.change(self.hosts.units.values(), self._ports())
        self._check(spaces | {u.space for p in turned.touched if (u := self.hosts.units.get(p)) is not None})

    def _is_good(self, key: UnitKey, wanted: _Wanted, turned: Turned) -> bool:
        unit = self._by_key.get(key)
        if unit is None or unit.place in turned.dirty:
            return False
        if self.setting.is_bridged and unit.version != self._holding.version:
            return False  # all its peers are asked for
        return tuple(unit.judging.judges) == families_of(wanted[2])

    def _add(self, maker: Maker, source: Source, isolation: Isolation, endpoints: Sequence[Endpoint]) -> None:
        self._counts.units += 1
        objects = Objects(self.setting.options.deny, Names())
        unit = maker.make(self._place(), source, isolation, endpoints, objects)
        self._verdicts.update(objects.verdicts)
        self.ledger.add(
            (*objects.sets.values(), *objects.maps.values()), objects.chains.values(), objects.peers.values()
        )
        self._by_key[unit.key] = unit
        self.hosts.add(unit)

    def _select(self, resolver: RuleResolver) -> Selected:
        self._counts.endpoints += len(self._rows)
        setting = self.setting
        return select(self._rows.values(), self._policies, resolver, setting.closed, setting.budget)

    def _wanted(self, selected: Selected) -> dict[UnitKey, _Wanted]:
        found: dict[UnitKey, _Wanted] = {}
        sources: dict[tuple[Direction, tuple[Part, ...]], Source] = {}
        for row, parts_of in sorted(selected.places, key=lambda place: place[0].key):
            endpoint = Endpoint(row.key, row.host, None, None)
            for direction in DIRECTIONS:
                parts = parts_of.get(direction)
                if parts is None:
                    continue
                source = sources.get((direction, parts))
                if source is None:
                    source = sources[direction, parts] = selected.source(direction, parts)
                found.setdefault(source.key, (source, parts, []))[2].append(endpoint)
        return found

    def _settle(self, selected: Selected) -> None:
        """Which isolation judges whom, in the order of addresses."""
        self._places = [
            (row, {d: self._by_key[selected.source(d, parts).key] for d, parts in parts_of.items()})
            for row, parts_of in selected.places
        ]
        self._selecting = len(selected.policies)
        self._first: dict[ChainName, int] = {}
        self._snapshot = endpoints_of(self._places, self.setting)
        self._ordered = in_order(self._places, self._snapshot)
        for unit, _ in self._ordered:
            for judges in unit.judging.judges.values():
                self._first.setdefault(judges.asking, unit.place)

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
        table, idle = self._table, self.idle()
        stats = count(self._snapshot.endpoints, table, self._selecting, len(idle))
        return Ruleset(table, owners_of(table, (unit for unit, _ in self._ordered)), (), stats, (), idle)

    def idle(self) -> tuple[IdlePeer, ...]:
        """The peers that select nobody, in the order in which a build resolves them."""
        found: dict[tuple[int, int], tuple[IdlePeer, int]] = {}
        for unit in self._units_by_address():
            for (policy, peer), number in unit.peers:
                found.setdefault((id(policy), id(peer)), ((policy, peer), number))
        return tuple(peer for peer, number in found.values() if not self.profiles.selecting[number])

    def _units_by_address(self) -> Iterable[Unit]:
        units = (units[d] for _, units in self._places for d in DIRECTIONS if d in units)
        return {unit.place: unit for unit in units}.values()

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

    def check(self, touched: Iterable[int]) -> None:
        """Raises CannotTell if policies of these isolations may be over their budget."""
        self._check({self.hosts.units[place].space for place in touched})

    def _check(self, spaces: Iterable[str]) -> None:
        self._ceilings.check(spaces, self.ledger.parts, self.profiles)

    def _ports(self) -> Iterator[PortSet]:
        return (ports for ports, side in self._verdicts if side == "dport")


def _of(endpoint: Endpoint, direction: Direction) -> Isolation | None:
    return endpoint.ingress if direction == "ingress" else endpoint.egress
