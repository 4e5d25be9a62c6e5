"""Does a rule of a policy fit a packet? One peer at a time, with what it misses. Pure.

Says the same as the isolations that are compiled, but in the words of who wrote the policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policyd.ask.blocks import Block, print_blocks
from policyd.ask.doubt import matches_unknown
from policyd.ask.ends import Party, stranger
from policyd.ask.world import World
from policyd.kube.cidr import holds, print_cidr
from policyd.kube.objects import (
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Peer,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.kube.selectors import matches
from policyd_compiler.ir import Direction

SIDES: dict[Direction, str] = {"ingress": "from", "egress": "to"}
#: The distance of a rule that fits neither the port nor the peer.
FAR = 10
OTHER: dict[Direction, str] = {"ingress": "source", "egress": "destination"}


@dataclass(frozen=True, slots=True)
class Packet:
    """What is asked: the first packet of a connection. `port` is None for protocols without."""

    protocol: str
    port: int | None

    def __str__(self) -> str:
        return self.protocol if self.port is None else f"{self.protocol} {self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Where a rule is written: `ingress[0]`, and which peer of it. `peer` is "" where it names none."""

    policy: str
    rule: str
    peer: str = ""
    file: str = ""
    line: int = 0


def place(reference: Reference) -> str:
    """`shop/api ingress[0].from[1] (api.yaml:8)`."""
    where = f" ({reference.file}:{reference.line})" if reference.file else ""
    return f"{reference.policy} {reference.peer or reference.rule}{where}"


@dataclass(frozen=True, slots=True)
class Fit:
    """What one peer of a rule makes of a packet.

    `peer` None: the objects do not decide it, for the reason `doubt`. `reason` says what is missing, and
    `distance` how much that is. `edit`: the one change to the policy that would make it fit, if there is one.
    """

    reference: Reference
    port: bool
    peer: bool | None
    reason: str
    distance: int
    doubt: str = ""
    edit: str = ""

    @property
    def allows(self) -> bool:
        """Whether the packet is allowed by it for sure."""
        return self.port and self.peer is True


@dataclass(frozen=True, slots=True)
class _Match:
    value: bool | None
    reason: str = ""
    misses: int = 0
    doubt: str = ""
    edit: str = ""


def fits(
    world: World, policy: NetworkPolicy, direction: Direction, subject: Pod, other: Party, packet: Packet
) -> Iterator[Fit]:
    """What each rule of a policy that selects the subject makes of the packet: one for each of its peers."""
    rules = (policy.ingress if direction == "ingress" else policy.egress) or ()
    for number, rule in enumerate(rules):
        port = _port_fits(rule, direction, subject, other, packet)
        for place, peer in peers_of(rule):
            fits_port = port
            match = _match(world, policy, peer, other, OTHER[direction])
            if not port and match.value is not False and _may_be_named(world, rule, direction, other, packet):
                fits_port, match = (
                    True,
                    _Match(value=None, reason=match.reason, doubt=stranger(world, other.end)),
                )
            reason, distance = _explain(rule, packet, port=fits_port, match=match, side=OTHER[direction])
            reference = reference_of(policy, direction, number, rule, place)
            edit = match.edit if fits_port else ""
            yield Fit(reference, fits_port, match.value, reason, distance, match.doubt, edit)


def peers_of(rule: PolicyRule) -> Iterator[tuple[int | None, Peer | None]]:
    """The peers of a rule by their place; None and None for everybody."""
    if rule.peers is None:
        yield None, None
    else:
        yield from enumerate(rule.peers)


def reference_of(
    policy: NetworkPolicy, direction: Direction, number: int, rule: PolicyRule, place: int | None
) -> Reference:
    """Where a peer of a rule is written."""
    source = rule.source or policy.source
    file, line = (source.file, source.line) if source else ("", 0)
    name = f"{direction}[{number}]"
    if place is None:
        return Reference(f"{policy.namespace}/{policy.name}", name, "", file, line)
    written = rule.places[place] if rule.places else (place, line)
    peer = f"{name}.{SIDES[direction]}[{written[0]}]"
    return Reference(f"{policy.namespace}/{policy.name}", name, peer, file, written[1])


def _port_fits(rule: PolicyRule, direction: Direction, subject: Pod, other: Party, packet: Packet) -> bool:
    """Whether the port is one of the rule's: a name means one of the receiver (NP-050, NP-051)."""
    if rule.ports is None:
        return True
    receivers = (subject,) if direction == "ingress" else other.pods
    return any(_is_port(port, receivers, packet) for port in rule.ports)


def _may_be_named(world: World, rule: PolicyRule, direction: Direction, other: Party, packet: Packet) -> bool:
    """Whether a port has a name that a pod may give it which was not read."""
    named = any(isinstance(p.port, str) and p.protocol == packet.protocol for p in rule.ports or ())
    return named and direction == "egress" and bool(stranger(world, other.end))


def _is_port(port: PolicyPort, receivers: tuple[Pod, ...], packet: Packet) -> bool:
    if port.protocol != packet.protocol or packet.port is None:
        return False
    match port.port:
        case None:
            return True
        case int(first):
            return first <= packet.port <= (port.end_port or first)
        case str(name):
            wanted = (name, port.protocol, packet.port)
            return bool(receivers) and all(
                any((p.name, p.protocol, p.number) == wanted for p in pod.ports) for pod in receivers
            )


def _match(world: World, policy: NetworkPolicy, peer: Peer | None, other: Party, side: str) -> _Match:
    match peer:
        case None:
            return _Match(value=True)
        case IPBlock():
            return _match_block(peer, other, side)
        case PodPeer():
            return _match_pods(world, policy, peer, other, side)


def _match_block(block: IPBlock, other: Party, side: str) -> _Match:
    if block.cidr is None:
        return _Match(value=False, reason="the rule's ipBlock is not understood", misses=3)
    wants = f"the rule wants an address of {print_ip_block(block)}"
    if block.cidr.family != other.family:
        return _Match(value=False, reason=f"{wants}, and the {side} has IPv{other.family}", misses=3)
    if block.cidr.prefix == 0 and not block.excepts:
        return _Match(value=True)
    if other.address is None:
        if other.end.anywhere:
            return _Match(value=None, reason=wants, doubt="depends on which address outside it is")
        name = other.end.text
        return _Match(
            value=None, reason=f"{wants}, and {name} has none here", doubt=f"depends on the address of {name}"
        )
    inside = [holds(cidr, other.family, other.address) for cidr in (block.cidr, *block.excepts)]
    if inside[0] and not any(inside[1:]):
        return _Match(value=True)
    return _Match(value=False, reason=f"{wants}, and the {side} is not one", misses=2 if inside[0] else 3)


def print_ip_block(block: IPBlock) -> str:
    """A block as people write it: `10.0.0.0/8 but 10.1.0.0/16`."""
    if block.cidr is None:
        return "an ipBlock that is not understood"
    written = Block(print_cidr(block.cidr), tuple(map(print_cidr, block.excepts)))
    return print_blocks([written]).replace(" without ", " but ")


def _match_pods(world: World, policy: NetworkPolicy, peer: PodPeer, other: Party, side: str) -> _Match:
    """A selector fits an address if it fits everybody who claims it (NP-166)."""
    if not other.pods:
        wants = _selector(peer.pods, policy.namespace if peer.namespaces is None else "")
        if peer.namespaces is not None and (doubt := stranger(world, other.end)):
            return _Match(value=None, reason=f"the rule wants {wants}", doubt=doubt)
        return _Match(value=False, reason=f"the rule wants {wants}, and the {side} is no pod", misses=3)
    found = [_match_pod(world, policy, peer, pod, side) for pod in other.pods]
    worst = [match for match in found if match.value is False] or [m for m in found if m.value is None]
    return worst[0] if worst else found[0]


def _match_pod(world: World, policy: NetworkPolicy, peer: PodPeer, pod: Pod, side: str) -> _Match:
    labels = dict(pod.labels)
    missing = []
    if not matches(peer.pods, labels):
        missing = [each for each in peer.pods.requirements if not matches(LabelSelector((each,)), labels)]
    where, in_namespace, misses = _match_namespace(world, policy, peer, pod)
    if where is True and not missing:
        return _Match(value=True)
    if where is None and not missing:
        doubt = f"depends on the labels of namespace {pod.namespace}, which is not among the objects"
        wants = f"the rule wants a namespace with {_requirements(peer.namespaces)}"
        return _Match(
            value=None, reason=f"{wants}, and {pod.namespace} is not among the objects", doubt=doubt
        )
    has = _has(labels, missing)
    here = f" in {pod.namespace}" if where is not True else ""
    wanted = " and ".join(map(print_requirement, missing)) or "pods"
    reason = f"the {side} {has}{here}, the rule wants {wanted}{in_namespace}"
    return _Match(
        value=False,
        reason=reason,
        misses=len(missing) + misses,
        edit=_edit(missing[0], labels) if where is True and len(missing) == 1 else "",
    )


def _match_namespace(
    world: World, policy: NetworkPolicy, peer: PodPeer, pod: Pod
) -> tuple[bool | None, str, int]:
    """Whether a pod is where the peer wants it; what to say of it, and how much is missing."""
    if peer.namespaces is None:
        here = pod.namespace == policy.namespace
        return here, "" if here else f" in {policy.namespace}", 0 if here else 1
    if pod.namespace in world.unknown_namespaces:
        found = matches_unknown(peer.namespaces, pod.namespace)
        return found, "" if found else f" in a namespace with {_requirements(peer.namespaces)}", 1
    labels = dict(world.namespaces[pod.namespace].labels)
    missing = [r for r in peer.namespaces.requirements if not matches(LabelSelector((r,)), labels)]
    reason = f" in a namespace with {' and '.join(map(print_requirement, missing))}" if missing else ""
    return not missing, reason, len(missing)


def _has(labels: dict[str, str], missing: list[Requirement]) -> str:
    if not missing:
        return "is"
    return "has " + " and ".join(
        dict.fromkeys(f"{r.key}={labels[r.key]}" if r.key in labels else f"no {r.key}" for r in missing)
    )


def _edit(wanted: Requirement, labels: dict[str, str]) -> str:
    """The one edit that makes a selector fit."""
    if wanted.operator == "In" and len(wanted.values) == 1:
        label = f"label the pod {wanted.key}={wanted.values[0]}"
        if wanted.key in labels:
            return f"{wanted.key}: {wanted.values[0]} → {wanted.key}: {labels[wanted.key]}, or {label}"
        return label
    return ""


def _requirements(selector: LabelSelector | None) -> str:
    return " and ".join(map(print_requirement, selector.requirements)) if selector else ""


def print_requirement(wanted: Requirement) -> str:
    """A requirement as people write it: `app=web`, `no tier`."""
    match wanted.operator:
        case "In":
            values = wanted.values
            return (
                f"{wanted.key}={values[0]}" if len(values) == 1 else f"{wanted.key} in ({', '.join(values)})"
            )
        case "NotIn":
            return f"{wanted.key} not in ({', '.join(wanted.values)})"
        case "Exists":
            return wanted.key
        case "DoesNotExist":
            return f"no {wanted.key}"


def _selector(selector: LabelSelector, namespace: str) -> str:
    what = _requirements(selector)
    return f"pods{f' with {what}' if what else ''}{f' of {namespace}' if namespace else ''}"


def _explain(rule: PolicyRule, packet: Packet, *, port: bool, match: _Match, side: str) -> tuple[str, int]:
    """What is missing, and how much: what is not known is nearest, then what misses one thing."""
    if port and match.value is True:
        return "", 0
    if port:
        fits_port = f"port {packet.port}" if packet.port is not None else packet.protocol
        return f"{fits_port} fits; {match.reason}", 0 if match.value is None else max(match.misses, 1)
    opens = f"the rule opens {print_ports(rule)}, not {packet}"
    if match.value is True:
        return f"the {side} fits; {opens}", 1
    return f"{match.reason}; and {opens}", FAR + match.misses


def print_ports(rule: PolicyRule) -> str:
    """The ports of a rule as they are written."""
    if rule.ports is None:
        return "all ports"
    found = []
    for port in rule.ports:
        match port.port:
            case None:
                found.append(f"all {port.protocol}")
            case int(first) if port.end_port:
                found.append(f"{port.protocol} {first}-{port.end_port}")
            case number_or_name:
                found.append(f"{port.protocol} {number_or_name}")
    return ", ".join(found) or "no port"
