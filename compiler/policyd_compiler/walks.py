"""Which look-ups a packet makes in a table, and in which order: what a safe order of changes depends on.

A packet meets *judges*, one after another: chains that a dispatch map finds by one end of the packet, and
that look up the other end, the *peer*, in sets and maps. Every judge must let it pass; within one the first
question that has an answer decides. Of all elements only those of dispatch maps are read here: they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from policyd_compiler.facts import Known
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Continue,
    Drop,
    Goto,
    Jump,
    Limit,
    Reject,
    Return,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import ADDRESS_FIELDS, Field, InSet, Match, address_field
from policyd_compiler.nft.keys import FAMILIES, KEY, KeyType, SetName, Side

#: What a look-up finds: in a map the verdict, in a set HELD; None: nothing.
Answer: TypeAlias = Verdict | None
HELD = Continue()

_SIDES: tuple[Side, ...] = ("saddr", "daddr")
#: The same of the packet's other end.
_OPPOSITE: Mapping[Field, Field] = {
    address_field(family, side): address_field(family, other)
    for family in FAMILIES
    for side, other in (_SIDES, _SIDES[::-1])
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of a judge; `verdict` is None for a map, whose elements say it.

    Without `part` it is about something else than the peer, and has one answer throughout.
    """

    part: SetName | None
    verdict: Verdict | None

    def answer(self, found: Answer) -> Verdict | None:
        """The verdict where a look-up finds this; None: the next question."""
        return found if found is None or self.verdict is None else self.verdict


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A chain that decides about a peer: by the first question that has an answer, or else by `rest`."""

    name: ChainName
    asks: tuple[Ask, ...]
    rest: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A dispatch map: judges by the address at one side of the packet. The other side is the peer."""

    side: Side
    judges: Mapping[int, Judge]


@dataclass(frozen=True, slots=True)
class Walks:
    """What packets come by, of what may be changed in place.

    `roads`: for each type of addresses the stages of each hook, in order; a packet comes by a stage once.
    `askers`: parts whose elements may be changed, as only judges ask them: these. `declared`: the same parts
    without elements. `later`: the judges that a packet may meet after a judge, with the same peer.
    `ends`: the addresses for which there are judges.
    """

    roads: Mapping[KeyType, tuple[tuple[Stage, ...], ...]]
    askers: Mapping[SetName, tuple[Judge, ...]]
    declared: Mapping[SetName, Set | VerdictMap]
    later: Mapping[Judge, frozenset[Judge]]
    ends: Mapping[KeyType, frozenset[int]]


def read_walks(table: Table, known: Known | None = None) -> Walks:
    """Read a table. What is not understood may not be changed in place.

    `known`: what was found out of an earlier ruleset; takes what is found out of this one.
    """
    reader = _Reader(table, known or Known())
    roads = {key: tuple(tuple(reader.stages(way, key)) for way in reader.ways) for key in KEY.values()}
    askers = reader.askers()
    return Walks(
        roads,
        askers,
        {name: reader.known.bare(reader.parts[name]) for name in askers},
        _later(road for of_type in roads.values() for road in of_type),
        {
            key: frozenset(a for road in of_type for stage in road for a in stage.judges)
            for key, of_type in roads.items()
        },
    )


class _Reader:
    """Reads one table."""

    def __init__(self, table: Table, known: Known) -> None:
        self.known = known
        self.parts = {part.name: part for part in table.parts}
        self._facts = {chain.name: known.of(chain) for chain in table.chains}
        self._maps = {part.name: known.of(part) for part in table.maps}
        met = self._reached(table)  # what is left of an earlier ruleset is in nobody's way
        self._chains = {chain.name: chain for chain in table.chains if chain.name in met}
        self._opened: set[ChainName] = set()
        self.ways = self._ways(table)
        self._judges = self._find_judges()

    def stages(self, way: tuple[Vmap, ...], key: KeyType) -> Iterator[Stage]:
        """The stages on the way of packets with addresses of a type."""
        for vmap in way:
            if _is_dispatch(vmap, self.parts[vmap.map]) and KEY[ADDRESS_FIELDS[vmap.field][0]] is key:
                judges = self._targets(vmap.map)
                yield Stage(ADDRESS_FIELDS[vmap.field][1], judges)

    def askers(self) -> dict[SetName, tuple[Judge, ...]]:
        """The parts that may be changed in place, and who asks them."""
        found: dict[SetName, list[Judge]] = {
            name: [] for name, part in self.parts.items() if part.key in KEY.values() and not part.interval
        }
        for chain in self._chains.values():
            if chain.name not in self._judges:
                for name in self._facts[chain.name].asked:
                    found.pop(name, None)
        for judge in self._judges.values():
            for asked in {ask.part for ask in judge.asks if ask.part is not None} & found.keys():
                found[asked].append(judge)
        return {name: tuple(judges) for name, judges in found.items()}

    def _ways(self, table: Table) -> tuple[tuple[Vmap, ...], ...]:
        """For each hook the maps that its packets ask before any map has led them anywhere."""
        hooks: dict[str, list[tuple[int, ChainName]]] = {}
        for chain in table.chains:
            if chain.hook is not None:
                hooks.setdefault(chain.hook.hook, []).append((chain.hook.priority, chain.name))
        found = []
        for chains in hooks.values():
            seen: set[ChainName] = set()
            asked = (vmap for _, name in sorted(chains) for vmap in self._way(name, seen))
            found.append(tuple(dict.fromkeys(asked)))
            self._opened |= seen
        return tuple(found)

    def _way(self, name: ChainName, seen: set[ChainName]) -> Iterator[Vmap]:
        """The maps that are asked in a chain and those it leads to, each once.

        Several rules may lead to one chain, for packets of several kinds: no packet comes by it twice.
        """
        if name in seen:
            return
        seen.add(name)
        for rule in self._chains[name].rules:
            match rule.action:
                case Vmap() as vmap:
                    yield vmap
                case Jump(chain) | Goto(chain):
                    yield from self._way(chain, seen)
                case _:
                    pass

    def _find_judges(self) -> dict[ChainName, Judge]:
        """The chains that dispatch maps lead to, and nothing else."""
        first = {vmap for way in self.ways for vmap in way}
        asked = {vmap for vmap in first if _is_dispatch(vmap, self.parts[vmap.map])}
        dispatch = {vmap.map for vmap in asked} - {vmap.map for vmap in first - asked}
        inner = [chain for chain in self._chains.values() if chain.name not in self._opened]
        facts = [self._facts[chain.name] for chain in inner]
        if any(each.accepts for each in facts):
            return {}  # a packet would be done before all have judged it
        others = {name for name in self.parts if name not in dispatch}
        others.update(name for each in facts for name in each.asked)
        elsewhere = {*self._opened, *(target for name in others for target in self._leads_to(name))}
        elsewhere.update(target for each in facts for target in each.leads)
        peers: dict[ChainName, set[Field]] = {}
        for vmap in asked:
            for target in (self._leads_to(vmap.map) - elsewhere) & self._chains.keys():
                peers.setdefault(target, set()).add(_OPPOSITE[vmap.field])
        judges = (
            self._read_judge(self._chains[name], frozenset(fields)) for name, fields in sorted(peers.items())
        )
        return {judge.name: judge for judge in judges if judge is not None}

    def _reached(self, table: Table) -> set[str]:
        """The chains that packets can come to."""
        seen = {chain.name for chain in table.chains if chain.hook is not None}
        ahead = [*seen]
        while ahead:
            facts = self._facts[ahead.pop()]
            targets = facts.leads.union(*map(self._leads_to, facts.asked)) - seen
            # An element that is about to go may lead to a chain that is gone.
            targets &= self._facts.keys()
            seen |= targets
            ahead.extend(targets)
        return {*seen}

    def _leads_to(self, name: SetName) -> frozenset[ChainName]:
        found = self._maps.get(name)
        return found.leads if found is not None else frozenset()

    def _targets(self, name: SetName) -> dict[int, Judge]:
        part = self.parts[name]
        pairs = part.elements if isinstance(part, VerdictMap) else ()
        return {
            key: self._judges[verdict.chain]
            for key, verdict in pairs
            if isinstance(key, int) and isinstance(verdict, Jump | Goto) and verdict.chain in self._judges
        }

    def _read_judge(self, chain: Chain, peers: frozenset[Field]) -> Judge | None:
        """None where more happens than that the peer's address is looked up in turn.

        The same object as in the ruleset before, if the chain is the same.
        """
        known: Judge | None = self.known.made_of(chain, peers)
        if known is None:
            known = self._new_judge(chain, peers)
            if known is not None:
                self.known.keep(chain, peers, known)
        maps = (ask.part for ask in known.asks if ask.part and ask.verdict is None) if known else ()
        return known if all(map(self._is_final, maps)) else None

    def _is_final(self, name: SetName) -> bool:
        """Whether no question follows where a look-up in a map has an answer."""
        return all(map(is_final, self._maps[name].verdicts))

    def _new_judge(self, chain: Chain, peers: frozenset[Field]) -> Judge | None:
        asks: list[Ask] = []
        rest: Verdict = Return()
        for rule in chain.rules:
            asked = any(isinstance(match.right, InSet) for match in rule.matches)
            if isinstance(rule.action, Continue) and not asked:
                continue  # it counts or logs
            if any(isinstance(statement, Limit) for statement in rule.statements):
                return None
            if not rule.matches and isinstance(rule.action, Return | Drop | Reject | Goto):
                rest = rule.action
                break
            ask = self._read_rule(rule, peers)
            if ask is None:
                return None
            asks.append(ask)
        others = [ask for ask in asks if ask.part is None]
        return Judge(chain.name, tuple(asks), rest) if len(others) < 2 else None

    def _read_rule(self, rule: Rule, peers: frozenset[Field]) -> Ask | None:
        match rule.action, rule.matches:
            case Vmap(field, name), () if peers == {field}:
                return Ask(name, None)
            case (Return() | Drop() | Reject() | Goto()) as verdict, (Match(field, InSet(name), False),):
                return Ask(name, verdict) if peers == {field} else None
            case (Return() | Drop() | Reject() | Goto()) as verdict, matches:
                return None if any(isinstance(m.right, InSet) for m in matches) else Ask(None, verdict)
            case _:
                return None


def is_final(verdict: Verdict) -> bool:
    """Whether no other question of the same chain follows."""
    return isinstance(verdict, Return | Drop | Goto)


def _is_dispatch(vmap: Vmap, part: Set | VerdictMap) -> bool:
    return vmap.field in ADDRESS_FIELDS and not part.interval


def _later(roads: Iterable[tuple[Stage, ...]]) -> dict[Judge, frozenset[Judge]]:
    """For each judge those that one packet may meet after it, found by the same end of the packet."""
    found: dict[Judge, set[Judge]] = {}
    for road in roads:
        for at, stage in enumerate(road):
            for behind in road[at + 1 :]:
                if behind.side == stage.side:
                    for address in stage.judges.keys() & behind.judges.keys():
                        found.setdefault(stage.judges[address], set()).add(behind.judges[address])
    return {judge: frozenset(judges) for judge, judges in found.items()}
