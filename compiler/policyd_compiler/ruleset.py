"""A ruleset as parts: what each is, what it refers to, and how two rulesets differ.

The kernel knows a part by its kind and its name. What packets may be walking on never changes under a name,
so whatever may have other contents is another part, beside the first; all that is named twice is the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from policyd_compiler.nft.ast import (
    Chain,
    Counter,
    CounterRef,
    Goto,
    Jump,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
    have_same_elements,
)
from policyd_compiler.nft.commands import PartKind
from policyd_compiler.nft.expressions import InSet
from policyd_compiler.nft.keys import SetName

Part: TypeAlias = Set | VerdictMap | Chain | Counter
_BY_NAME = attrgetter("name")
_OneKind = TypeVar("_OneKind", Set, VerdictMap, Chain, Counter)
_Node = TypeVar("_Node")


class PartId(NamedTuple):
    """By what the kernel, and other parts, know a part."""

    kind: PartKind
    name: str


def id_of(part: Part) -> PartId:
    """By what a part is known."""
    return PartId(_KINDS[type(part)], part.name)


_KINDS: Mapping[type[Part], PartKind] = {Counter: "counter", Set: "set", VerdictMap: "map", Chain: "chain"}


def parts_of(table: Table) -> tuple[Part, ...]:
    """All parts: counters, sets, maps, chains, so that nothing but a chain refers to what comes later."""
    return (*table.counters, *table.sets, *table.maps, *table.chains)


def refers_to(part: Part) -> frozenset[PartId]:
    """What a part names."""
    match part:
        case Chain():
            return frozenset(named for rule in part.rules for named in _named(rule))
        case VerdictMap():
            # Few verdicts, however many elements have them.
            verdicts = {id(verdict): verdict for _, verdict in part.elements}.values()
            return frozenset(PartId("chain", v.chain) for v in verdicts if isinstance(v, Goto | Jump))
        case Set() | Counter():
            return frozenset()


def _named(rule: Rule) -> Iterator[PartId]:
    yield from (PartId("set", match.right.set) for match in rule.matches if isinstance(match.right, InSet))
    yield from (PartId("counter", s.name) for s in rule.statements if isinstance(s, CounterRef))
    match rule.action:
        case Vmap(_, name):
            yield PartId("map", name)
        case Goto(name) | Jump(name):
            yield PartId("chain", name)
        case _:
            pass


def asked_by(rule: Rule) -> Iterator[SetName]:
    """The sets and maps that a rule asks."""
    yield from (SetName(part.name) for part in _named(rule) if part.kind in ("set", "map"))


def are_alike(one: Set | VerdictMap, other: Set | VerdictMap) -> bool:
    """Whether two sets, or two maps, take the same keys, whatever they hold and have room for."""
    return (one.key, one.interval) == (other.key, other.interval)


def is_same(one: Part, other: Part) -> bool:
    """Whether two parts of one name are the same to the kernel: notes do not count."""
    if one is other:
        return True
    match one, other:
        case (Chain(), Chain()):
            return one.hook == other.hook and (one.rules is other.rules or one.rules == other.rules)
        case ((Set() | VerdictMap()), (Set() | VerdictMap())):
            return one.size == other.size and are_alike(one, other) and have_same_elements(one, other)
        case _:
            return True


class Ruleset(Mapping[PartId, Part]):
    """The parts of one table, and what of them leads where; worked out when somebody asks."""

    def __init__(self, table: Table) -> None:
        self.table = table

    @cached_property
    def _parts(self) -> dict[PartId, Part]:
        return {id_of(part): part for part in parts_of(self.table)}

    def __getitem__(self, part: PartId) -> Part:
        return self._parts[part]

    def __iter__(self) -> Iterator[PartId]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    # Those of Mapping ask for each part by itself.
    def __contains__(self, part: object) -> bool:
        return part in self._parts

    def items(self) -> ItemsView[PartId, Part]:
        """The parts with what they are known by."""
        return self._parts.items()

    @property
    def hooks(self) -> Iterator[Chain]:
        """The base chains, in which packets begin."""
        return (chain for chain in self.table.chains if chain.hook is not None)

    @cached_property
    def references(self) -> Mapping[PartId, frozenset[PartId]]:
        """For each part what it names."""
        return {known: refers_to(part) for known, part in self._parts.items()}

    @cached_property
    def referrers(self) -> Mapping[PartId, frozenset[PartId]]:
        """For each part those that name it."""
        found: dict[PartId, set[PartId]] = {}
        for known, named in self.references.items():
            for one in named:
                found.setdefault(one, set()).add(known)
        return {part: frozenset(by) for part, by in found.items()}

    @cached_property
    def reached(self) -> frozenset[PartId]:
        """All that packets can come to, base chains included."""
        return frozenset(closure({id_of(chain) for chain in self.hooks}, self.references))

    def leading_to(self, parts: AbstractSet[PartId]) -> set[PartId]:
        """These parts, and all that leads to them."""
        return closure(parts, self.referrers)


def closure(nodes: AbstractSet[_Node], edges: Mapping[_Node, AbstractSet[_Node]]) -> set[_Node]:
    """These nodes, and all that edges lead to from them."""
    seen, ahead = set(nodes), list(nodes)
    while ahead:
        new = edges.get(ahead.pop(), frozenset()) - seen
        seen |= new
        ahead.extend(new)
    return seen


def reached(ruleset: Ruleset, parts: Iterable[Part]) -> Iterator[Part]:
    """What parts that are none of a ruleset's lead to in it, each once."""
    named = {known for part in parts for known in refers_to(part)} & ruleset.keys()
    return (ruleset[known] for known in closure(named, ruleset.references))


@dataclass(frozen=True, slots=True)
class Difference:
    """How one ruleset differs from another: in canonical order, and by kind as in `parts_of`.

    `changed`: pairs of different parts of one name, first the old one.
    """

    new: tuple[Part, ...]
    gone: tuple[Part, ...]
    changed: tuple[tuple[Part, Part], ...]


def compare(old: Mapping[PartId, Part], new: Mapping[PartId, Part]) -> Difference:
    """What differs between two rulesets."""
    both = ((old[known], part) for known, part in new.items() if known in old)
    return Difference(
        tuple(part for known, part in new.items() if known not in old),
        tuple(part for known, part in old.items() if known not in new),
        tuple((before, after) for before, after in both if not is_same(before, after)),
    )


def compare_tables(old: Table, new: Table) -> Difference:
    """What differs between two tables. What is the same object in both is not looked at, and that is most."""
    both = set(map(id, parts_of(old))).intersection(map(id, parts_of(new)))
    before, after = (
        {id_of(part): part for part in parts_of(table) if id(part) not in both} for table in (old, new)
    )
    return compare(before, after)


# --- tables made of two -------------------------------------------------------------------------------


def with_others(table: Table, other: Table) -> Table:
    """A table, and beside its parts those of another that it has none of the name of."""
    return _of_both(table, other, _over)


def restricted(table: Table, other: Table) -> Table | None:
    """The parts of a table that another has, too, by name; None where it lacks one."""
    if (table.bridge is None) != (other.bridge is None):
        return None
    beside = table.bridge
    if table.bridge is not None and other.bridge is not None:
        beside = restricted(table.bridge, other.bridge)
        if beside is None:
            return None
    found = _of_both(table, other, _like)
    whole = len(parts_of(found)) == len(parts_of(other))
    return replace(found, bridge=beside) if whole else None


def holds_more(table: Table, other: Table) -> bool:
    """Whether a table that has all the parts of another has some besides."""
    if table.bridge is not None and other.bridge is not None and holds_more(table.bridge, other.bridge):
        return True
    return len(parts_of(table)) > len(parts_of(other))


def names_of(table: Table) -> frozenset[tuple[str, PartId]]:
    """All parts of a table and the one beside it: family, and by what they are known."""
    beside = frozenset() if table.bridge is None else names_of(table.bridge)
    return beside | {(table.family, id_of(part)) for part in parts_of(table)}


def without(table: Table, names: AbstractSet[tuple[str, PartId]]) -> Table:
    """A table, and the one beside it, without parts of these families and names."""

    def kept(parts: tuple[_OneKind, ...], _: tuple[_OneKind, ...]) -> tuple[_OneKind, ...]:
        return tuple(part for part in parts if (table.family, id_of(part)) not in names)

    beside = None if table.bridge is None else without(table.bridge, names)
    return replace(_of_both(table, table, kept), bridge=beside)


def with_parts(table: Table, parts: Mapping[SetName, Set | VerdictMap]) -> Table:
    """The table, in canonical order, with others in place of sets and maps of these names."""
    sets, maps = list(table.sets), list(table.maps)
    for part in parts.values():
        if isinstance(part, Set):
            sets[_place_of(part.name, sets)] = part
        else:
            maps[_place_of(part.name, maps)] = part
    return replace(table, sets=tuple(sets), maps=tuple(maps))


def part_of(table: Table, name: SetName) -> Set | VerdictMap:
    """The set or map of a name in a table in canonical order. Raises KeyError if there is none."""
    for parts in (table.sets, table.maps):
        with suppress(KeyError):
            return parts[_place_of(name, parts)]
    raise KeyError(name)


def _place_of(name: SetName, parts: Sequence[Set | VerdictMap]) -> int:
    at = bisect_left(parts, name, key=_BY_NAME)
    if at == len(parts) or parts[at].name != name:
        raise KeyError(name)
    return at


class _Join(Protocol):
    """Makes parts of one kind out of those of two tables."""

    def __call__(
        self, parts: tuple[_OneKind, ...], others: tuple[_OneKind, ...], /
    ) -> tuple[_OneKind, ...]: ...


def _of_both(table: Table, other: Table, join: _Join) -> Table:
    return replace(
        table,
        sets=join(table.sets, other.sets),
        maps=join(table.maps, other.maps),
        chains=join(table.chains, other.chains),
        counters=join(table.counters, other.counters),
    )


def _over(parts: tuple[_OneKind, ...], others: tuple[_OneKind, ...]) -> tuple[_OneKind, ...]:
    names = {part.name for part in parts}
    left = tuple(part for part in others if part.name not in names)
    return in_order(parts + left) if left else parts


def _like(parts: tuple[_OneKind, ...], others: tuple[_OneKind, ...]) -> tuple[_OneKind, ...]:
    names = {part.name for part in others}
    found = tuple(part for part in parts if part.name in names)
    return parts if len(found) == len(parts) else found


def in_order(parts: Iterable[_OneKind]) -> tuple[_OneKind, ...]:
    """Parts of one kind as a table has them: by name."""
    return tuple(sorted(parts, key=_BY_NAME))
