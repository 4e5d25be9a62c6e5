"""Isolations and endpoints → the table and all that a ruleset says beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from policyd.cluster.attachments import Attachments, attached, with_nodes
from policyd.cluster.findings import key_of
from policyd.graph.claims import Row
from policyd.graph.ledger import Ledger, together
from policyd.graph.profiles import Profiles
from policyd.graph.units import Unit
from policyd.kube.objects import Node
from policyd.pipeline import FIRST_GENERATION
from policyd_compiler.budget import Budget
from policyd_compiler.ir import Endpoint, Isolation, Snapshot
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


def snapshot_of(endpoints: Iterable[Endpoint], setting: Setting) -> Snapshot:
    """The node's endpoints, which are sorted, as a snapshot without hosts."""
    snapshot = Snapshot(setting.node, (), tuple(endpoints))
    return attached(with_nodes(snapshot, setting.nodes.values()), setting.attachments)


def endpoint_of(row: Row, ingress: Unit | None, egress: Unit | None) -> Endpoint:
    """A host of this node as an endpoint."""
    return Endpoint(
        row.key,
        row.host,
        None if ingress is None else ingress.passed,
        None if egress is None else egress.passed,
        tuple(map(key_of, row.pods)) if len(row.pods) > 1 else (),
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
    noted = (_noted(chain, judging.get(chain.name, ()), known.get(chain.name)) for chain in chains)
    return stamp(together(base, parts, noted), FIRST_GENERATION)


def _noted(chain: Chain, notes: tuple[str, ...], before: Chain | None) -> Chain:
    """A chain with these notes; chains of one name have the same rules."""
    if before is not None and before.notes == notes:
        return before
    return chain if chain.notes == notes else replace(chain, notes=notes)


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


def in_order(
    snapshot: Snapshot, units: Mapping[str, tuple[Unit | None, ...]]
) -> list[tuple[Unit, list[Endpoint]]]:
    """Each isolation once, with the endpoints that share it, in the order of the endpoints."""
    found: dict[int, tuple[Unit, list[Endpoint]]] = {}
    for endpoint in snapshot.endpoints:
        for unit in units[endpoint.key]:
            if unit is not None:
                found.setdefault(unit.place, (unit, []))[1].append(endpoint)
    return list(found.values())


def chains_of(table: Table) -> Mapping[ChainName, Chain]:
    """The chains of a table by name."""
    return {chain.name: chain for chain in table.chains}
