"""IR → nft table: isolations become chains, endpoints become elements of the dispatch maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policyd_compiler.ir import Direction, Endpoint, Isolation, Origin, Snapshot
from policyd_compiler.lower.bridge import lower_bridge
from policyd_compiler.lower.chains import Judges, lower_isolation, take_notes
from policyd_compiler.lower.classes import HostIndex, classify
from policyd_compiler.lower.decide import Decider
from policyd_compiler.lower.dispatch import base_chains
from policyd_compiler.lower.guard import lower_guard
from policyd_compiler.lower.hearers import Judged
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.owners import Owners
from policyd_compiler.lower.port_chains import choose_bases, depends_on_order
from policyd_compiler.lower.roots import lower_roots
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import ChainName, Goto, Jump, Table, Verdict
from policyd_compiler.nft.keys import FAMILIES, Family, PortSide, SetName
from policyd_compiler.options import Options
from policyd_compiler.ports import PortSet

#: By direction and family, the addresses of endpoints that are isolated, and where packets go for each.
Leading: TypeAlias = dict[tuple[Direction, Family], list[tuple[int, Verdict]]]


@dataclass(frozen=True, slots=True)
class Judging:
    """What became of an isolation: its chains by family, and the keys of the endpoints that share it.

    `plain`: no set of ports is so large that it is written as a difference from another. `settled`: nor would
    one be if hosts had other numbers.
    """

    endpoints: tuple[str, ...]
    judges: Mapping[Family, Judges]
    plain: bool
    settled: bool

    def chains(self) -> Iterator[ChainName]:
        """The chains that packets are led to."""
        for judges in self.judges.values():
            yield judges.asking
            yield judges.answering


@dataclass(frozen=True, slots=True)
class Lowered:
    """The table that enforces a snapshot; for each chain, set and map in it, the policies that it serves.

    `judging`: the isolations in the order in which endpoints, and of each first its ingress, have them.
    `peers`: sets and maps of peers by prefix and identity. `verdicts`: those for sets of ports.
    """

    table: Table
    owners: Owners
    judging: tuple[Judging, ...]
    peers: Mapping[tuple[str, str], SetName]
    verdicts: Mapping[tuple[PortSet, PortSide], Verdict]


def lower(snapshot: Snapshot, options: Options, names: Names | None = None) -> Lowered:
    """Lower a snapshot. Equal snapshots and options give equal tables. Names are fresh if none are given."""
    objects = Objects(options.deny, names or Names())
    indexes = {family: HostIndex(snapshot.hosts, family) for family in FAMILIES}
    dispatch: Leading = {}
    answering: Leading = {}
    judged = Judged(indexes)
    served: list[tuple[ChainName, tuple[Origin, ...]]] = []
    judging: list[Judging] = []
    for isolation, endpoints in shared_isolations(snapshot.endpoints):
        made = judge(isolation, endpoints, indexes, objects, judged if snapshot.network.bridges else None)
        served.extend((chain, isolation.policies) for chain in made.chains())
        lead(made, isolation, endpoints, dispatch, answering)
        judging.append(made)
    table = frame(snapshot, dispatch, answering, options, objects, judged)
    return Lowered(table, Owners(table, served), tuple(judging), objects.peers, objects.verdicts)


def frame(
    snapshot: Snapshot,
    dispatch: Leading,
    answering: Leading,
    options: Options,
    objects: Objects,
    judged: Judged,
) -> Table:
    """The table of what is in `objects`, with the chains of its own that lead packets there."""
    roots = lower_roots(snapshot, dispatch, answering, options, objects)
    guard = lower_guard(snapshot, options, objects)
    chains = base_chains(roots, guard, options, objects)
    return Table(
        options.table,
        sets=tuple(sorted(objects.sets.values(), key=lambda s: s.name)),
        maps=tuple(sorted(objects.maps.values(), key=lambda m: m.name)),
        chains=tuple(sorted((*objects.chains.values(), *chains), key=lambda c: c.name)),
        notes=snapshot.notes,
        bridge=lower_bridge(snapshot, judged, options),
    )


def judge(
    isolation: Isolation,
    endpoints: Sequence[Endpoint],
    indexes: Mapping[Family, HostIndex],
    objects: Objects,
    judged: Judged | None = None,
) -> Judging:
    """Add the chains of one isolation, in the families in which its endpoints have addresses.

    `judged`: where to keep what was worked out on the way.
    """
    decider = Decider(isolation)
    keys = tuple(endpoint.key for endpoint in endpoints)
    notes, of_families, plain, settled = take_notes(isolation, keys), dict[Family, Judges](), True, True
    for family in families_of(endpoints):
        classes = classify(decider, indexes[family], family)
        if judged is not None:
            judged.note(isolation, family, decider, classes)
        plain = plain and not choose_bases(classes)
        settled = settled and not depends_on_order(classes)
        of_families[family] = lower_isolation(decider, classes, notes, indexes[family], family, objects)
    return Judging(keys, of_families, plain, settled)


def families_of(endpoints: Iterable[Endpoint]) -> tuple[Family, ...]:
    """The families in which any of these has an address."""
    hosts = [endpoint.host for endpoint in endpoints]
    return tuple(f for f in FAMILIES if any(host.address(f) is not None for host in hosts))


def lead(
    judging: Judging,
    isolation: Isolation,
    endpoints: Iterable[Endpoint],
    dispatch: Leading,
    answering: Leading,
) -> None:
    """Lead packets of and to these endpoints to the chains of their isolation."""
    hosts = [endpoint.host for endpoint in endpoints]
    for family, judges in judging.judges.items():
        addresses = [a for host in hosts if (a := host.address(family)) is not None]
        # Egress comes back to the base chain, where the receiver's ingress is asked; ingress is the end.
        asking = Jump(judges.asking) if isolation.direction == "egress" else Goto(judges.asking)
        here = (isolation.direction, family)
        dispatch.setdefault(here, []).extend((a, asking) for a in addresses)
        answering.setdefault(here, []).extend((a, Jump(judges.answering)) for a in addresses)


def shared_isolations(endpoints: tuple[Endpoint, ...]) -> list[tuple[Isolation, list[Endpoint]]]:
    """Each isolation once, with the endpoints that share it, in the order of the endpoints."""
    groups: dict[int, tuple[Isolation, list[Endpoint]]] = {}
    for endpoint in endpoints:
        for isolation in (endpoint.ingress, endpoint.egress):
            if isolation is not None:
                groups.setdefault(id(isolation), (isolation, []))[1].append(endpoint)
    return list(groups.values())
