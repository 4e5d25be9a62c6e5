"""Rulesets that differ in elements of sets of peers: made for the purpose, or of worlds that were compiled.

Those that are made are small and have all that matters: judges in all four stages, each with a set or map of
its own or none, sets that judges share in one order, a question of something else, ranges, and a default.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Drop,
    Goto,
    Hook,
    Jump,
    Return,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import (
    Field,
    InSet,
    Match,
    Numbers,
    Word,
    address_field,
    numbers,
    port_field,
)
from policyd_compiler.nft.keys import KEY, L4, Family, PortSide, SetName, Side
from policyd_compiler.sim import Packet
from policyd_compiler.walks import read_walks

#: The first address of each family: 10.244.1.10 and fd00:10:244:1::a.
BASE: Mapping[Family, int] = {4: 0x0AF4_010A, 6: 0xFD00_0010_0244_0001 << 64 | 0xA}
#: Pods of the node, pods elsewhere, and an address that only ranges have.
LOCAL, REMOTE, BEYOND = (0, 1), (2, 3, 4), 5
SIZE, SHARED = 64, 3
PREFIXES: Mapping[PortSide, str] = {"dport": "ports", "sport": "answers"}
_PORTS = {"80": numbers(80), "443": numbers(443), "both": numbers(80, 443), "wide": Numbers(((80, 90),))}
#: What a judge may say, by number; one that asks looks at one port, one that answers at the other.
VERDICTS: Mapping[PortSide, tuple[Verdict, ...]] = {
    side: (Drop(), Return(), *(Goto(ChainName(f"{prefix}-{name}")) for name in _PORTS))
    for side, prefix in PREFIXES.items()
}
_LOCAL = Match(Field.FIB_SADDR_TYPE, Word("local"))
#: The peers in each set or map, and in a map what is said of each.
Contents = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Form:
    """What the two judges of a pod in one direction have in common. `own`: the verdict of a set, or a map.

    `shared` are sets and their verdicts. There may be ranges, and a question before them.
    """

    own: int | None = None
    is_map: bool = False
    shared: tuple[tuple[int, int], ...] = ()
    spoofed: bool = False
    ranges: int | None = None
    default: int = 0


#: The pods that are isolated in a direction, and how.
Forms = Mapping[tuple[str, int], Form]


def random_forms(rng: random.Random) -> Forms:
    """Choose how pods are isolated; some are not."""
    number = range(len(VERDICTS["dport"]))
    return {
        (direction, pod): Form(
            own=rng.choice((None, *number)),
            is_map=rng.random() < 0.5,
            shared=tuple((n, rng.choice(number)) for n in range(SHARED) if rng.random() < 0.6),
            spoofed=rng.random() < 0.3,
            ranges=rng.choice((None, None, *number)),
            default=rng.choice((0, 0, 0, *number)),
        )
        for direction, pod in product(("in", "out"), LOCAL)
        if rng.random() < 0.85
    }


def random_contents(rng: random.Random) -> Contents:
    """Choose who is in what."""
    return {name: {a: _number(rng) for a in (*LOCAL, *REMOTE) if rng.random() < 0.4} for name in names()}


def random_change(rng: random.Random, old: Contents) -> Contents:
    """Choose what changes for one address, or for a few: they enter, leave and move."""
    changed = rng.sample((*LOCAL, *REMOTE), rng.choice((1, 1, 1, 2, 3)))
    share = rng.choice((0.1, 0.3, 0.6))
    new = {name: dict(of) for name, of in old.items()}
    for of, address in product(new.values(), changed):
        if rng.random() < share and (of.pop(address, None) is None or rng.random() < 0.3):
            of[address] = _number(rng)
    return new


def _number(rng: random.Random) -> int:
    return rng.randrange(len(VERDICTS["dport"]))


def names() -> list[str]:
    """What the sets and maps of peers are called, without the family."""
    own = [f"own-{direction}-{pod}" for direction, pod in product(("in", "out"), LOCAL)]
    return [*own, *(f"shared-{n}" for n in range(SHARED))]


def judged(family: Family, forms: Forms, contents: Contents, size: int = SIZE, protocol: L4 = "tcp") -> Table:
    """The ruleset of one family, each set and map of `size`, for ports of one protocol."""
    maker = _Maker(family, contents, size, protocol)
    stages = {
        (direction, side): maker.stage(direction, side, forms)
        for direction in ("in", "out")
        for side in PREFIXES
    }
    stray = (stages["in", "sport"], stages["out", "sport"])
    invalid = Rule(Jump(ChainName("stray")), (Match(Field.CT_STATE, Word("invalid")),))
    chains = (
        *maker.chains,
        Chain(ChainName("stray"), stray),
        Chain(
            ChainName("forward"),
            (invalid, stages["out", "dport"], stages["in", "dport"]),
            Hook("forward", -10),
        ),
    )
    return Table(
        "policyd",
        sets=tuple(sorted(maker.sets.values(), key=lambda part: part.name)),
        maps=tuple(sorted(maker.maps.values(), key=lambda part: part.name)),
        chains=tuple(sorted(chains, key=lambda chain: chain.name)),
    )


class _Maker:
    """Makes the parts of a ruleset."""

    def __init__(self, family: Family, contents: Contents, size: int, protocol: L4) -> None:
        self.sets: dict[SetName, Set] = {}
        self.maps: dict[SetName, VerdictMap] = {}
        self.chains = list(_port_chains(protocol))
        self._family = family
        self._contents = contents
        self._size = size

    def stage(self, direction: str, side: PortSide, forms: Forms) -> Rule:
        """The judges of a direction, and the rule that leads to them."""
        elements: list[tuple[int, Verdict]] = []
        dispatched: Side = "saddr" if (direction == "out") == (side == "dport") else "daddr"
        peer: Side = "daddr" if dispatched == "saddr" else "saddr"
        for (of, pod), form in sorted(forms.items()):
            if of == direction:
                name = ChainName(f"{direction}-{side}-{pod}")
                self.chains.append(Chain(name, tuple(self._rules(f"{direction}-{pod}", side, peer, form))))
                asks = direction == "in" and side == "dport"
                elements.append((BASE[self._family] + pod, Goto(name) if asks else Jump(name)))
        part = SetName(f"dispatch-{direction}-{side}")
        self.maps[part] = VerdictMap(part, KEY[self._family], tuple(elements), size=SIZE)
        return Rule(Vmap(address_field(self._family, dispatched), part))

    def _rules(self, pod: str, side: PortSide, peer: Side, form: Form) -> Iterator[Rule]:
        verdicts, field = VERDICTS[side], address_field(self._family, peer)
        if form.own is not None and form.is_map:
            yield Rule(Vmap(field, self._map(f"own-{pod}", side)))
        elif form.own is not None:
            yield Rule(verdicts[form.own], (Match(field, InSet(self._set(f"own-{pod}"))),))
        for number, verdict in form.shared:
            yield Rule(verdicts[verdict], (Match(field, InSet(self._set(f"shared-{number}"))),))
        if form.spoofed and peer == "saddr":
            yield Rule(Drop(), (_LOCAL,))
        if form.ranges is not None:
            name, base = SetName("ranges"), BASE[self._family]
            elements = ((base + LOCAL[1], base + REMOTE[0]), (base + BEYOND, base + BEYOND))
            self.sets[name] = Set(name, KEY[self._family], elements, interval=True)
            yield Rule(verdicts[form.ranges], (Match(field, InSet(name)),))
        yield Rule(verdicts[form.default])

    def _set(self, of: str) -> SetName:
        name, base = SetName(f"{of}-set"), BASE[self._family]
        elements = tuple(base + address for address in sorted(self._contents[of]))
        self.sets[name] = Set(name, KEY[self._family], elements, size=self._size)
        return name

    def _map(self, of: str, side: PortSide) -> SetName:
        name, base = SetName(f"{of}-{side}"), BASE[self._family]
        elements = tuple((base + a, VERDICTS[side][n]) for a, n in sorted(self._contents[of].items()))
        self.maps[name] = VerdictMap(name, KEY[self._family], elements, size=self._size)
        return name


def _port_chains(protocol: L4) -> Iterator[Chain]:
    for (side, prefix), (name, ports) in product(PREFIXES.items(), _PORTS.items()):
        passing = Rule(Return(), (Match(port_field(protocol, side), ports),))
        yield Chain(ChainName(f"{prefix}-{name}"), (passing, Rule(Drop())))


def packets(family: Family, sources: Iterable[int], targets: Iterable[int]) -> Iterator[Packet]:
    """New connections and strays between addresses."""
    base = BASE[family]
    for source, target, asked, local in product(sources, targets, (80, 443), (False, True)):
        new = Packet(family, base + source, base + target, "tcp", asked, sport=1, fib_local=local)
        yield new
        for answering in (80, 443):
            yield replace(new, sport=answering, ct_state="invalid")


def roomy(table: Table) -> Table:
    """A compiled ruleset, whose sets of peers have room."""
    changeable = read_walks(table).declared.keys()
    return replace(
        table,
        sets=tuple(replace(p, size=SIZE) if p.name in changeable else p for p in table.sets),
        maps=tuple(replace(p, size=SIZE) if p.name in changeable else p for p in table.maps),
    )


def with_other_elements(rng: random.Random, table: Table, addresses: Mapping[Family, list[int]]) -> Table:
    """The same ruleset, where these addresses entered, left or moved."""
    changeable = read_walks(table).declared.keys()
    share = rng.choice((0.1, 0.3, 0.6))
    by_type = {KEY[family]: of for family, of in addresses.items()}

    def changed(part: Set) -> Set:
        held = set(part.elements)
        held ^= {address for address in by_type.get(part.key, ()) if rng.random() < share}
        return replace(part, elements=tuple(sorted(a for a in held if isinstance(a, int))))

    def changed_map(part: VerdictMap) -> VerdictMap:
        held = dict(part.elements)
        said = list(held.values()) or [Return(), Drop()]
        for address in by_type.get(part.key, ()):
            if rng.random() < share and (held.pop(address, None) is None or rng.random() < 0.3):
                held[address] = rng.choice(said)
        pairs = ((a, verdict) for a, verdict in held.items() if isinstance(a, int))
        return replace(part, elements=tuple(sorted(pairs, key=lambda pair: pair[0])))

    return replace(
        table,
        sets=tuple(changed(p) if p.name in changeable else p for p in table.sets),
        maps=tuple(changed_map(p) if p.name in changeable else p for p in table.maps),
    )
