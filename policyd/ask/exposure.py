"""What is open to whoever comes, also to pods and namespaces that do not exist yet. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_

from policyd.ask.endpoints import Endpoint
from policyd.ask.fits import Reference
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.ports import only
from policyd.ask.published import Missing, Published, published
from policyd.ask.rectangles import families_of
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd.cluster.peers import SubjectPorts, subject_ports
from policyd.kube.objects import IPBlock, NetworkPolicy, Peer, Pod, PolicyRule
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: To whom something may be open → in words, widest first.
TO = {
    "everybody": "every pod, and any address",
    "pods": "every pod of the cluster",
    "addresses": "any address outside",
}


@dataclass(frozen=True, slots=True)
class Exposed:
    """Ports of an endpoint that are open to all of `to`, and the rules that open them: none without a policy
    that isolates it."""

    endpoint: Endpoint
    to: str
    ports: PortSet
    rules: tuple[Reference, ...]


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
        tuple(id_ for id_, found in gates.items() if all(gate is not None for gate in found)),
        tuple(id_ for id_, found in gates.items() if not any(found)),
        tuple(each for each in published(world) if _is_asked(each, gates.keys(), ids, ports)),
    )


def _exposures(world: World, endpoints: Collection[Endpoint], asked: PortSet) -> Iterator[Exposed]:
    """What is open to all, widest first. Of an endpoint whose pods differ, what any of them opens."""
    for to in TO:
        for endpoint in endpoints:
            ports, rules = NOTHING, dict[Reference, None]()
            for pod in endpoint.members:
                for found, reference in _opened(world, pod, to):
                    if found & asked:
                        ports = ports | found & asked
                        rules.update({} if reference is None else {reference: None})
            if ports:
                yield Exposed(endpoint, to, ports, tuple(rules))


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


def _opened(world: World, pod: Pod, to: str) -> Iterator[tuple[PortSet, Reference | None]]:
    """Ports that are open to all of these, each with the rule that opens them; None: no policy isolates."""
    isolating = [p for p in world.selecting[pod.namespace, pod.labels] if p.ingress is not None]
    if not isolating and to == "everybody":
        yield EVERYTHING, None
    for policy in isolating:
        for number, rule in enumerate(policy.ingress or ()):
            if any(_opens(peer, to) for peer in (rule.peers if rule.peers is not None else (None,))):
                found = (
                    EVERYTHING if rule.ports is None else subject_ports(rule.ports, SubjectPorts(pod.ports))
                )
                yield found, _reference(policy, number, rule)


def _opens(peer: Peer | None, to: str) -> bool:
    match peer:
        case None:
            return to == "everybody"
        case IPBlock():
            return to == "addresses" and peer.cidr is not None and not peer.cidr.prefix and not peer.excepts
        case _:
            everywhere = peer.namespaces is not None and not peer.namespaces.requirements
            return to == "pods" and everywhere and not peer.pods.requirements


def _reference(policy: NetworkPolicy, number: int, rule: PolicyRule) -> Reference:
    source = rule.source or policy.source
    place = (source.file, source.line) if source else ("", 0)
    return Reference(f"{policy.namespace}/{policy.name}", f"ingress[{number}]", "", *place)
