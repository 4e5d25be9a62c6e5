"""What a proof tells apart: addresses, ports, interfaces and pairs that a ruleset or a policy names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from policyd.proof.cluster import Cluster
from policyd.proof.hooks import (
    DHCP_SERVER,
    GROUPS,
    LINK_LOCAL,
    LOOPBACK,
    NOWHERE,
    Scene,
    itself,
)
from policyd.proof.line import BITS, Line, Stretch, block
from policyd.proof.points import Points
from policyd.proof.space import Asked, Space, Unprovable
from policyd_compiler.nft.ast import Chain, Goto, Jump, Table, Vmap
from policyd_compiler.nft.expressions import Field, Match, Numbers, Prefix, Word, port_field
from policyd_compiler.nft.keys import FROM, KEY, PAIR, Family, KeyType

_AT_INTERFACES = (*FROM.values(), KeyType.IFNAME_ETHER, KeyType.IFNAME_TARGET)
_PORTS = {port_field(protocol, side) for protocol in ("tcp", "udp", "sctp") for side in ("dport", "sport")}
#: An interface that is no pod's, and none at all.
OTHER, NONE = "uplink", ""


@dataclass(frozen=True)
class Ground:
    """The spaces of one family. `hooks` tells apart what base chains and the guard ask for, interfaces too;
    `policies` all addresses that any set or policy names, and no interfaces."""

    hooks: Space
    policies: Space


def ports_line(cluster: Cluster, tunnels: Iterable[int], table: Table) -> Line:
    """All ports, cut where a rule, a policy, a named port or a tunnel says."""
    beside = () if table.bridge is None else table.bridge.chains
    named = (
        interval
        for match in _matches((*table.chains, *beside))
        if match.field in _PORTS and isinstance(match.right, Numbers)
        for interval in match.right.intervals
    )
    known = (*tunnels, DHCP_SERVER)
    return Line(16, (*cluster.ports(), *named, *((port, port) for port in known)))


def lay(cluster: Cluster, scene: Scene, table: Table, family: Family, ports: Line) -> Ground:
    """The spaces of a family."""
    return Ground(
        lay_hooks(cluster, scene, table, family, ports), lay_policies(cluster, table, family, ports)
    )


def lay_hooks(cluster: Cluster, scene: Scene, table: Table, family: Family, ports: Line) -> Space:
    """What tells packets apart at hooks."""
    near = _base_chains(table)
    near_keys = (key for part in _asked_by(table, near) for key in part)
    around = _around(cluster, family)
    return Space(
        family,
        Line(BITS[family], (*around, *stretches_of(near_keys, family), *prefixes_in(near, family))),
        interfaces(table, scene.of_pods),
        Asked(ports),
        _contents(table),
        _pairs(table, scene, family),
    )


def lay_policies(cluster: Cluster, table: Table, family: Family, ports: Line) -> Space:
    """What tells packets apart where policies are asked."""
    every_key = (
        key
        for part in table.parts
        if part.key is KEY[family]
        for key in (_keys(part.elements) if part in table.maps else part.elements)
    )
    named = (stretch for of, stretch in cluster.blocks() if of == family)
    held = ((a, a) for a in cluster.claims[family])
    stretches = (*stretches_of(every_key, family), *prefixes_in(table.chains, family))
    line = Line(BITS[family], (*_around(cluster, family), *named, *held, *stretches))
    return Space(family, line, (NONE,), Asked(ports), _contents(table))


def lay_points(points: Iterable[int], table: Table, family: Family, ports: Line) -> Space:
    """The same for some addresses, and nobody else."""
    return Space(family, Points(points), (NONE,), Asked(ports), _contents(table))


def _contents(table: Table) -> Mapping[str, Sequence[object]]:
    return {str(part.name): part.elements for part in table.sets}


def _around(cluster: Cluster, family: Family) -> Iterator[Stretch]:
    """What is told apart of whatever ruleset."""
    yield from (block(*prefix, family) for prefix in _prefixes(family))
    yield from ((a, a) for a in (*cluster.local[family], *cluster.nodes[family]))


def _prefixes(family: Family) -> Iterator[tuple[int, int]]:
    yield GROUPS[family]
    yield NOWHERE[family]
    yield LOOPBACK if family == 4 else LINK_LOCAL
    if family == 4:
        yield 0xFFFF_FFFF, 32


def _base_chains(table: Table) -> tuple[Chain, ...]:
    """The chains at hooks, and those that their rules lead to, but for what maps do."""
    found: dict[str, Chain] = {}
    waiting = [chain for chain in table.chains if chain.hook is not None]
    while waiting:
        chain = waiting.pop()
        if chain.name in found:
            continue
        found[chain.name] = chain
        for rule in chain.rules:
            if isinstance(rule.action, Jump | Goto):
                waiting.extend(chain for chain in table.chains if chain.name == rule.action.chain)
    return tuple(found.values())


def _asked_by(table: Table, chains: Iterable[Chain]) -> Iterator[Iterable[object]]:
    """The keys of the sets and maps that chains ask."""
    sets = {part.name: part for part in table.sets}
    maps = {part.name: part for part in table.maps}
    for chain in chains:
        for rule in chain.rules:
            for match in rule.matches:
                name = getattr(match.right, "set", None)
                if name in sets:
                    yield sets[name].elements
            if isinstance(rule.action, Vmap) and rule.action.map in maps:
                yield _keys(maps[rule.action.map].elements)


def _keys(elements: Iterable[tuple[object, object]]) -> Iterator[object]:
    return (key for key, _ in elements)


def stretches_of(keys: Iterable[object], family: Family) -> Iterator[Stretch]:
    """What addresses of a family keys name; of another family's they may be as well."""
    end = 1 << BITS[family]
    for key in keys:
        match key:
            case int(address) if address < end:
                yield address, address
            case (int(low), int(high)) if high < end:
                yield low, high
            case (str(), int(address)) if address < end:
                yield address, address
            case _:
                pass


def prefixes_in(chains: Iterable[Chain], family: Family, more: tuple[Field, ...] = ()) -> Iterator[Stretch]:
    """The prefixes that rules name, also of further fields."""
    fields = {4: (Field.IP_SADDR, Field.IP_DADDR), 6: (Field.IP6_SADDR, Field.IP6_DADDR)}[family] + more
    for match in _matches(chains):
        if match.field in fields and isinstance(match.right, Prefix):
            yield block(match.right.network, match.right.length, family)


def _matches(chains: Iterable[Chain]) -> Iterator[Match]:
    return (match for chain in chains for rule in chain.rules for match in rule.matches)


def interfaces(table: Table, of_pods: Iterable[str]) -> tuple[str, ...]:
    """Interfaces of which each stands for all that nothing tells from it; the last is none at all."""
    named = set(of_pods)
    for part in table.parts:
        keys = _keys(part.elements) if part in table.maps else part.elements
        if part.key is KeyType.IFNAME:
            named.update(str(key) for key in keys)
        elif part.key in _AT_INTERFACES:
            named.update(str(key[0]) for key in keys if isinstance(key, tuple))
    for match in _matches(table.chains):
        if match.field in (Field.IIFNAME, Field.OIFNAME) and isinstance(match.right, Word):
            named.add(match.right.word)
    found = {name for name in named if not name.endswith("*")}
    for prefix in sorted((name[:-1] for name in named if name.endswith("*")), key=len, reverse=True):
        found.add(_unlike(f"{prefix}_", found, {name for name in named if len(name) > len(prefix) + 1}))
    return (*sorted(found), _unlike(OTHER, found, named), NONE)


def _unlike(name: str, taken: set[str], patterns: set[str]) -> str:
    """A name that no pattern matches and nobody has."""
    while name in taken or any(p.endswith("*") and name.startswith(p[:-1]) for p in patterns):
        name += "_"
        if len(name) > 64:  # a pattern of everything: what it stands for is in it
            break
    return name


def _pairs(table: Table, scene: Scene, family: Family) -> tuple[frozenset[object], ...]:
    """The kinds of pairs of addresses: those in the same sets of pairs, and first those in none."""
    sets = [frozenset[object](part.elements) for part in table.sets if part.key is PAIR[family]]
    sets.append(itself(scene, family))
    kinds: dict[tuple[bool, ...], set[object]] = {}
    for pair in frozenset[object]().union(*sets):
        if not (isinstance(pair, tuple) and pair[0] == pair[1]):
            raise Unprovable(f"a set of pairs holds two different addresses: {pair}")
        kinds.setdefault(tuple(pair in each for each in sets), set()).add(pair)
    return (frozenset(), *(frozenset(kind) for _, kind in sorted(kinds.items())))
