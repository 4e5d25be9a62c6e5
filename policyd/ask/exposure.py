"""What is open to whoever comes, also to pods and namespaces that do not exist yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_

from policyd.ask.endpoints import Endpoint
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.rectangles import families_of
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd.cluster.peers import SubjectPorts, subject_ports
from policyd.kube.objects import IPBlock, NetworkPolicy, Peer, Pod, PolicyRule
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

ANYBODY = "every pod, and any address"
EVERY_POD = "every pod of the cluster"
ANY_ADDRESS = "any address outside"


@dataclass(frozen=True, slots=True)
class Exposed:
    """Ports of an endpoint that are open `to` all of these, and the rules that open them: `by`."""

    endpoint: Endpoint
    to: str
    ports: PortSet
    by: tuple[str, ...]


def exposures(world: World) -> Iterator[Exposed]:
    """What is open to all, widest first. Of an endpoint whose pods differ, what any of them opens."""
    for to in (ANYBODY, EVERY_POD, ANY_ADDRESS):
        for endpoint in world.endpoints:
            ports, by = NOTHING, dict[str, None]()
            for pod in endpoint.members:
                found, rules = _opened(world, pod, to)
                ports = ports | found
                by.update(dict.fromkeys(rules))
            if ports:
                yield Exposed(endpoint, to, ports, tuple(by))


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


def _opened(world: World, pod: Pod, to: str) -> tuple[PortSet, list[str]]:
    isolating = [p for p in world.selecting[pod.namespace, pod.labels] if p.ingress is not None]
    if not isolating:
        return (EVERYTHING, []) if to == ANYBODY else (NOTHING, [])
    ports, by = NOTHING, []
    for policy in isolating:
        for number, rule in enumerate(policy.ingress or ()):
            if any(_opens(peer, to) for peer in (rule.peers if rule.peers is not None else (None,))):
                found = (
                    EVERYTHING if rule.ports is None else subject_ports(rule.ports, SubjectPorts(pod.ports))
                )
                ports = ports | found
                by.append(_place(policy, number, rule))
    return ports, by


def _opens(peer: Peer | None, to: str) -> bool:
    match peer:
        case None:
            return to == ANYBODY
        case IPBlock():
            return to == ANY_ADDRESS and peer.cidr is not None and not peer.cidr.prefix and not peer.excepts
        case _:
            everywhere = peer.namespaces is not None and not peer.namespaces.requirements
            return to == EVERY_POD and everywhere and not peer.pods.requirements


def _place(policy: NetworkPolicy, number: int, rule: PolicyRule) -> str:
    source = rule.source or policy.source
    place = f" {source.file}:{source.line}" if source else ""
    return f"{policy.namespace}/{policy.name} ingress[{number}]{place}"
