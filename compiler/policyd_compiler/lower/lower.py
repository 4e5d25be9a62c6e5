"""IR → nft table: isolations become chains, endpoints become elements of the dispatch maps."""

from __future__ import annotations

from policyd_compiler.ir import Endpoint, Isolation, Snapshot
from policyd_compiler.lower.chains import lower_isolation
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.lower.dispatch import FAMILIES, base_chains, deny_verdict, dispatch_map, root_sets
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import Goto, Jump, SetName, Table, Verdict
from policyd_compiler.options import Options


def lower(snapshot: Snapshot, options: Options) -> Table:
    """The table that enforces a snapshot. Equal snapshots and options give equal tables."""
    objects = Objects(deny_verdict(options))
    indexes = {family: HostIndex(snapshot.hosts, family) for family in FAMILIES}
    elements: dict[str, list[tuple[int, Verdict]]] = {
        f"{direction}{family}": [] for direction in ("ingress", "egress") for family in FAMILIES
    }
    for isolation, endpoints in _shared(snapshot.endpoints):
        keys = [endpoint.key for endpoint in endpoints]
        for family in FAMILIES:
            addresses = [a for e in endpoints if (a := e.host.address(family)) is not None]
            if not addresses:
                continue
            chain = lower_isolation(isolation, keys, indexes[family], family, objects)
            # Egress comes back to the base chain, where the receiver's ingress is asked; ingress is the end.
            verdict = Jump(chain) if isolation.direction == "egress" else Goto(chain)
            elements[f"{isolation.direction}{family}"].extend((a, verdict) for a in addresses)
    for name, found in elements.items():
        objects.maps[SetName(name)] = dispatch_map(name, found)
    return Table(
        options.table,
        sets=tuple(sorted((*objects.sets.values(), *root_sets(snapshot, options)), key=lambda s: s.name)),
        maps=tuple(sorted(objects.maps.values(), key=lambda m: m.name)),
        chains=tuple(sorted((*objects.chains.values(), *base_chains(options)), key=lambda c: c.name)),
        notes=snapshot.notes,
    )


def _shared(endpoints: tuple[Endpoint, ...]) -> list[tuple[Isolation, list[Endpoint]]]:
    """Each isolation once, with the endpoints that share it, in the order of the endpoints."""
    groups: dict[int, tuple[Isolation, list[Endpoint]]] = {}
    for endpoint in endpoints:
        for isolation in (endpoint.ingress, endpoint.egress):
            if isolation is not None:
                groups.setdefault(id(isolation), (isolation, []))[1].append(endpoint)
    return list(groups.values())
