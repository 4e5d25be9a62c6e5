"""What is open to whoever comes, also to pods and namespaces that do not exist yet. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_

from policyd.ask.endpoints import Endpoint
from policyd.ask.fits import Reference
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.ports import only
from policyd.ask.published import Missing, Published, published
from policyd.ask.rectangles import families_of
from policyd.ask.strangers import let_in
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd_compiler.ir import Origin, Tier
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: To whom something may be open → in words, widest first.
TO = {
    "everybody": "every pod, and any address",
    "pods": "every pod of the cluster",
    "addresses": "any address outside",
}


@dataclass(frozen=True, slots=True)
class Exposed:
    """Ports of an endpoint that are open to all of `to`, and the rules that open them.

    `unruled`: some are open without a rule, as no policy isolates it. What is open to everybody is not named
    again as open to some.
    """

    endpoint: Endpoint
    to: str
    ports: PortSet
    rules: tuple[Reference, ...]
    unruled: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is open to all of somebody, and what is published, of `endpoints`: those that were asked about.

    `isolated` are in both directions; no policy selects those that are `unselected`. Both are ids.
    """

    endpoints: tuple[Endpoint, ...]
    exposed: tuple[Exposed, ...]
    isolated: tuple[str, ...]
    unselected: tuple[str, ...]
    published: tuple[Published | Missing, ...]


def exposure(world: World, ids: Collection[str] | None = None, ports: PortSet = EVERYTHING) -> Exposure:
    """The exposure of these endpoints, None for all, by these ports."""
    chosen = [(n, each) for n, each in enumerate(world.endpoints) if ids is None or each.id in ids]
    gates = {each.id: tuple(_gates(world, n)) for n, each in chosen}
    return Exposure(
        tuple(each for _, each in chosen),
        tuple(_exposures(world, [each for _, each in chosen], ports)),
        tuple(id_ for id_, found in gates.items() if all(map(_isolates, found))),
        tuple(id_ for id_, found in gates.items() if not any(found)),
        tuple(each for each in published(world) if _is_asked(each, gates.keys(), ids, ports)),
    )


def _exposures(world: World, endpoints: Collection[Endpoint], asked: PortSet) -> Iterator[Exposed]:
    """What is open to all, widest first. Of an endpoint whose pods differ, what any of them opens."""
    known = lru_cache(maxsize=None)(lambda *of: tuple(let_in(world, *of)))
    wider: dict[str, PortSet] = {}
    for to in TO:
        for endpoint in endpoints:
            ports, rules, unruled = NOTHING, dict[Reference, None](), False
            for gate, family in _asked_of(world, endpoint, to):
                for found, origin in known(gate, to, family):
                    if opened := found & asked - wider.get(endpoint.id, NOTHING):
                        ports = ports | opened
                        rules.update({} if origin is None else {_reference(origin): None})
                        unruled |= origin is None
            if to == "everybody":
                wider[endpoint.id] = ports
            if ports:
                yield Exposed(endpoint, to, ports, tuple(rules), unruled)


def _asked_of(world: World, endpoint: Endpoint, to: str) -> dict[tuple[Gate | None, int], None]:
    """The gates of an endpoint, each with the families that make a difference."""
    hosts = bits_of(world.hosts[world.number[endpoint.id]])
    return dict.fromkeys(
        (world.gates.ingress[host], family)
        for host in hosts
        for family in ((families_of(world.claims.hosts[host]) or FAMILIES) if to == "addresses" else (4,))
    )


def _is_asked(
    found: Published | Missing, chosen: Collection[str], ids: Collection[str] | None, ports: PortSet
) -> bool:
    if isinstance(found, Missing):  # it is of no endpoint that is known
        return ids is None
    return found.endpoint.id in chosen and bool(only(found.packet) & ports)


def _gates(world: World, number: int) -> Iterator[Gate | None]:
    for host in bits_of(world.hosts[number]):
        yield world.gates.ingress[host]
        yield world.gates.egress[host]


def _isolates(gate: Gate | None) -> bool:
    """A ClusterNetworkPolicy isolates nobody (CNP-002)."""
    return gate is not None and any(stage.tier is Tier.NETWORK_POLICY for stage in gate.certain.stages)


def letting_all_in(world: World, ports: PortSet = EVERYTHING) -> frozenset[str]:
    """The endpoints that let in whatever pod of this world comes, at one of these ports: what is wide open.

    By all policies of either kind. Whether a pod may leave for there is another question.
    """
    known: dict[tuple[Gate | None, int], PortSet] = {}

    def let_in(host: int) -> PortSet:
        gate, families = world.gates.ingress[host], families_of(world.claims.hosts[host]) or FAMILIES
        found = NOTHING
        for family in families:
            if (gate, family) not in known:
                rows = [row.four if family == 4 else row.six for row in world.gates.rows(gate)]
                known[gate, family] = reduce(and_, (row.allowed for row in rows), EVERYTHING)
            found = found | known[gate, family]
        return found

    return frozenset(
        endpoint.id
        for endpoint, mask in zip(world.endpoints, world.hosts, strict=True)
        if reduce(and_, map(let_in, bits_of(mask)), ports)
    )


def _reference(origin: Origin) -> Reference:
    return Reference(origin.policy, origin.rule, "", origin.file, origin.line)
