"""Isolations and endpoints → the table and all that a ruleset says beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from policyd.cluster.attachments import Attachments, attached, with_nodes
from policyd.cluster.findings import key_of
from policyd.graph.claims import Row
from policyd.graph.ledger import Ledger, together
from policyd.graph.profiles import Profiles
from policyd.graph.units import Unit
from policyd.kube.objects import Node
from policyd.pipeline import FIRST_GENERATION
from policyd_compiler.budget import Budget
from policyd_compiler.ir import Direction, Endpoint, Isolation, Snapshot
from policyd_compiler.lower.chains import answers_note, note_lines
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.lower.hearers import Judged
from policyd_compiler.lower.lower import Leading, frame, lead
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.owners import Owners
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import Chain, ChainName, Table
from policyd_compiler.nft.keys import Family
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options

#: A host of this node, and what became of each direction that is isolated.
Place: TypeAlias = tuple[Row, Mapping[Direction, Unit]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a ruleset depends on beside pods, policies and namespaces."""

    node: str
    options: Options
    budget: Budget
    closed: frozenset[str]
    nodes: Mapping[str, Node]
    attachments: Attachments

    @property
    def is_bridged(self) -> bool:
        """Whether pods hang on bridges, where what each pod's policies allow is asked for each sender."""
        return bool(self.attachments.bridges)


def endpoints_of(places: Iterable[Place], setting: Setting) -> Snapshot:
    """The node's endpoints, as a snapshot without hosts."""
    endpoints = sorted((_endpoint(row, units) for row, units in places), key=lambda each: each.key)
    snapshot = Snapshot(setting.node, (), tuple(endpoints))
    return attached(with_nodes(snapshot, setting.nodes.values()), setting.attachments)


def _endpoint(row: Row, units: Mapping[Direction, Unit]) -> Endpoint:
    ingress, egress = units.get("ingress"), units.get("egress")
    claimants = tuple(map(key_of, row.pods)) if len(row.pods) > 1 else ()
    return Endpoint(
        row.key,
        row.host,
        None if ingress is None else ingress.passed,
        None if egress is None else egress.passed,
        claimants,
    )


def assemble(
    snapshot: Snapshot,
    units: Sequence[tuple[Unit, Sequence[Endpoint]]],
    ledger: Ledger,
    indexes: Mapping[Family, HostIndex],
    before: Table,
    options: Options,
) -> Table:
    """The table of isolations in the order in which a compilation has them, with the endpoints of each.

    Chains of `before` that are the same stay the same object.
    """
    dispatch: Leading = {}
    answering: Leading = {}
    for unit, endpoints in units:
        lead(unit.judging, unit.passed, endpoints, dispatch, answering)
    objects = Objects(options.deny, Names())
    base = frame(snapshot, dispatch, answering, options, objects, Judged(indexes))
    judging = _judging(unit for unit, _ in units)
    parts, chains = ledger.reached(judging)
    known = {chain.name: chain for chain in before.chains}
    noted = (replace(chain, notes=judging.get(chain.name, chain.notes)) for chain in chains)
    same = (one if (one := known.get(chain.name)) == chain else chain for chain in noted)
    return stamp(together(base, parts, same), FIRST_GENERATION)


def _judging(units: Iterable[Unit]) -> dict[ChainName, tuple[str, ...]]:
    """The chains that judge, and their notes: one that isolations have in common says what the first does."""
    found: dict[ChainName, tuple[str, ...]] = {}
    for unit in units:
        for judges in unit.judging.judges.values():
            found.setdefault(judges.asking, unit.lines or ())
            found.setdefault(judges.answering, (answers_note(judges.asking),))
    return found


def note(unit: Unit, profiles: Profiles) -> tuple[str, ...]:
    """Its notes, written if they are not known."""
    if unit.lines is None:
        unit.lines = note_lines(_alive(unit.isolation, profiles), unit.judging.endpoints)
    return unit.lines


def _alive(isolation: Isolation, profiles: Profiles) -> Isolation:
    stages = (
        replace(stage, rules=tuple(rule for rule in stage.rules if profiles.is_alive(rule)))
        for stage in isolation.stages
    )
    return replace(isolation, stages=tuple(stages))


def owners_of(table: Table, units: Iterable[Unit]) -> Owners:
    """Whom each chain, set and map of a table serves."""
    return Owners(table, ((chain, u.isolation.policies) for u in units for chain in u.judging.chains()))


def in_order(places: Iterable[Place], snapshot: Snapshot) -> list[tuple[Unit, list[Endpoint]]]:
    """Each isolation once, with the endpoints that share it, in the order of the endpoints."""
    units_of = {row.key: units for row, units in places}
    found: dict[int, tuple[Unit, list[Endpoint]]] = {}
    for endpoint in snapshot.endpoints:
        for unit in _of_directions(units_of[endpoint.key]):
            found.setdefault(unit.place, (unit, []))[1].append(endpoint)
    return list(found.values())


def _of_directions(units: Mapping[Direction, Unit]) -> Iterator[Unit]:
    for direction in ("ingress", "egress"):
        if direction in units:
            yield units[direction]


def chains_of(table: Table) -> Mapping[ChainName, Chain]:
    """The chains of a table by name."""
    return {chain.name: chain for chain in table.chains}
