"""Why is something allowed or denied: which policies isolate, which rules allow, which nearly do. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from policyd.ask.ends import End, Party, parties, stranger
from policyd.ask.fits import Fit, Packet, Reference, fits
from policyd.ask.gates import Gate
from policyd.ask.tiers import decided, has_tiers, through
from policyd.ask.world import World
from policyd.kube.cidr import holds
from policyd.kube.objects import ClusterNetworkPolicy, IPBlock, NetworkPolicy, Pod
from policyd_compiler.addr import Family
from policyd_compiler.ir import Direction
from policyd_compiler.ports import PortSet

Answer: TypeAlias = Literal["allowed", "denied", "unknown"]
State: TypeAlias = Literal["open", "allowed", "denied", "unknown"]

#: So many rules that nearly allow it are named.
MOST_NEAR = 10
ITSELF = "a pod always reaches itself (NP-095)"
ONE_ADDRESS = "both claim the same address (NP-166)"
OWN_NODE = "a node always reaches its own pods (NP-090)"


@dataclass(frozen=True, slots=True)
class Near:
    """A rule that does not allow it, why not, and the one edit that would make it, if there is one."""

    reference: Reference
    because: str
    distance: int
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One direction. `because` has reasons beside rules; for `unknown`, what it depends on."""

    state: State
    isolated_by: tuple[str, ...] = ()
    rules: tuple[Reference, ...] = ()
    near: tuple[Near, ...] = ()
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question, with both directions."""

    sender: End
    receiver: End
    packet: Packet
    egress: Side
    ingress: Side

    @property
    def answer(self) -> Answer:
        """Denied if one direction denies it, else unknown if one is, else allowed."""
        states = (self.egress.state, self.ingress.state)
        if "denied" in states:
            return "denied"
        return "unknown" if "unknown" in states else "allowed"


@dataclass(slots=True)
class _Judgement:
    """What the policies of one subject make of one packet from or to one party."""

    state: State
    fits: list[Fit] = field(default_factory=list)
    because: str = ""


#: A pair of hosts in each family in which they can talk.
Case: TypeAlias = dict[Family, tuple[Party, Party]]


def why(world: World, sender: End, receiver: End, packet: Packet, family: Family | None = None) -> Verdict:
    """Judge the first packet of a connection, as the policies are written; only of one family, if given."""
    cases = [
        {each: ends for each, ends in case.items() if family in (None, each)}
        for case in cases_of(world, sender, receiver)
    ]
    alike = not cases and bool(set(sender.hosts) & set(receiver.hosts))
    itself = alike and (sender.endpoint is None or sender.endpoint == receiver.endpoint)
    sides = {}
    for direction, end in (("egress", sender), ("ingress", receiver)):
        names = isolated_by(world, end, direction)  # type: ignore[arg-type]
        if itself:
            sides[direction] = Side("allowed" if names else "open", names, because=(ITSELF,))
        elif alike:
            sides[direction] = Side("unknown", names, because=(ONE_ADDRESS,))
        elif doubt := stranger(world, end):
            sides[direction] = Side("unknown", because=(doubt,))
        else:
            sides[direction] = _side(world, direction, cases, packet, names)  # type: ignore[arg-type]
    if sides["egress"].state == sides["ingress"].state == "unknown" and cases:
        # It may be that ingress denies just what egress may let through, such as the other family.
        left = list(_passing(world, cases, packet))
        ingress = _side(world, "ingress", left, packet, sides["ingress"].isolated_by)
        if ingress.state == "denied":
            sides["ingress"] = ingress
    return Verdict(sender, receiver, packet, sides["egress"], sides["ingress"])


def _passing(world: World, cases: list[Case], packet: Packet) -> Iterator[Case]:
    """The cases in which egress may let the packet through."""
    for case in cases:
        yield {
            family: ends
            for family, ends in case.items()
            if _judge(world, "egress", *ends, packet).state != "denied"
        }


def doubts(world: World, sender: End, receiver: End, unknown: PortSet) -> tuple[str, ...]:
    """Why it is not known whether these ports are open."""
    found: dict[str, None] = {}
    for packet in _samples(unknown):
        verdict = why(world, sender, receiver, packet)
        found.update(dict.fromkeys((*verdict.egress.because, *verdict.ingress.because)))
    return tuple(found)


def _samples(ports: PortSet) -> Iterator[Packet]:
    """A packet for each range of ports; of very many, for some."""
    for protocol, ranges in (("TCP", ports.tcp), ("UDP", ports.udp), ("SCTP", ports.sctp)):
        for low, high in ranges[:MOST_NEAR]:
            yield Packet(protocol, high if low == 0 else low)
    if ports.other:
        yield Packet("other", None)


def isolated_by(world: World, end: End, direction: Direction) -> tuple[str, ...]:
    """The policies that isolate an end in a direction, as `namespace/name`, sorted."""
    return tuple(sorted({f"{p.namespace}/{p.name}" for p in isolating(world, end.hosts, direction)}))


def isolating(world: World, hosts: Iterable[int], direction: Direction) -> Iterator[NetworkPolicy]:
    """The policies that isolate any of these hosts in a direction, for each pod that claims one."""
    for host in hosts:
        for pod in world.claimants(host):
            yield from _of_subject(world, pod, direction)


def _of_subject(world: World, pod: Pod, direction: Direction) -> Iterator[NetworkPolicy]:
    """The policies that isolate a pod in a direction."""
    for policy in world.selecting[pod.namespace, pod.labels]:
        if (policy.ingress if direction == "ingress" else policy.egress) is not None:
            yield policy


def cases_of(world: World, sender: End, receiver: End) -> Iterator[Case]:
    """Pairs of hosts; of those that all policies treat alike, one. A pod and itself is none."""
    blocks = [
        peer
        for direction, end in (("egress", sender), ("ingress", receiver))
        for policy in isolating(world, end.hosts, direction)  # type: ignore[arg-type]
        for rule in (*(policy.ingress or ()), *(policy.egress or ()))
        for peer in rule.peers or ()
        if isinstance(peer, IPBlock)
    ]
    blocks = list(dict.fromkeys((*blocks, *blocks_of_tiers(world))))
    seen: set[object] = set()
    for source in sender.hosts or (None,):
        for destination in receiver.hosts or (None,):
            if source is not None and source == destination and not stands_for_many(world, source):
                continue
            kind = (kind_of_host(world, source, blocks), kind_of_host(world, destination, blocks))
            if kind in seen:
                continue
            seen.add(kind)
            first, second = parties(world, sender, source), parties(world, receiver, destination)
            if case := {family: (first[family], second[family]) for family in first if family in second}:
                yield case


def stands_for_many(world: World, host: int) -> bool:
    """Whether a host is the template of a workload without pods: of these, one can talk to another."""
    (pod, *_) = world.claimants(host)
    return f"{pod.namespace}/{pod.name}" not in world.state.pods


def kind_of_host(world: World, host: int | None, blocks: Sequence[IPBlock], *, node: bool = True) -> Hashable:
    """What tells hosts apart, as far as the policies in question can, and a node that sends (`node`)."""
    if host is None:
        return None
    addresses = world.claims.hosts[host]
    inside = tuple(
        holds(cidr, cidr.family, value)
        for block in blocks
        for cidr in ((block.cidr, *block.excepts) if block.cidr else ())
        if (value := addresses.address(cidr.family)) is not None
    )
    pods = tuple(
        (pod.namespace, pod.labels, pod.ports, pod.node if node else None) for pod in world.claimants(host)
    )
    return pods, (addresses.v4 is None, addresses.v6 is None), inside


def blocks_of_tiers(world: World) -> Iterator[IPBlock]:
    """The networks that ClusterNetworkPolicies name."""
    for policy in world.state.cluster_policies.values():
        yield from blocks_of(policy)


def blocks_of(policy: NetworkPolicy | ClusterNetworkPolicy) -> Iterator[IPBlock]:
    """The networks that a policy names."""
    for rule in (*(policy.ingress or ()), *(policy.egress or ())):
        yield from (peer for peer in rule.peers or () if isinstance(peer, IPBlock))


def _side(
    world: World, direction: Direction, cases: list[Case], packet: Packet, isolated_by: tuple[str, ...]
) -> Side:
    by_family: dict[Family, list[_Judgement]] = {}
    for case in cases:
        for family, ends in case.items():
            by_family.setdefault(family, []).append(_judge(world, direction, *ends, packet))
    sure = all(party.address is not None for case in cases for ends in case.values() for party in ends)
    states = [_over_pods([each.state for each in found]) for found in by_family.values()]
    state = _over_families(states, sure=sure)
    every = [judgement for found in by_family.values() for judgement in found]
    if state in ("open", "allowed"):
        judged = [judgement for judgement in every if judgement.state != "open"]
        reasons = tuple(dict.fromkeys(each.because for each in judged if each.because))
        return Side(state, isolated_by, tuple(_allowing(judged)), because=reasons)
    wrong = [each for each in every if each.state == state] or [
        each for each in every if each.state not in ("open", "allowed")
    ]
    near = tuple(_near(wrong[0].fits)) if wrong else ()
    return Side(state, isolated_by, (), near, tuple(_doubts(state, by_family)))


def _judge(world: World, direction: Direction, sender: Party, receiver: Party, packet: Packet) -> _Judgement:
    """What all policies of one end make of the packet: each pod that claims its address must allow it."""
    subject, other = (sender, receiver) if direction == "egress" else (receiver, sender)
    judgement = _Judgement("open")
    states: list[State] = []
    for pod in subject.pods:
        policies = list(_of_subject(world, pod, direction))
        if not policies:
            continue
        found = [fit for policy in policies for fit in fits(world, policy, direction, pod, other, packet)]
        judgement.fits.extend(found)
        if any(fit.allows for fit in found):
            states.append("allowed")
        else:
            doubtful = any(fit.port and fit.peer is None for fit in found)
            states.append("unknown" if doubtful else "denied")
    for state in ("denied", "unknown", "allowed"):
        if state in states:
            judgement.state = state
            break
    gate = None if subject.host is None else getattr(world.gates, direction)[subject.host]
    if gate is not None and has_tiers(gate):
        _ask_tiers(world, gate, judgement, other, packet)
    if direction == "ingress" and other.end.node and judgement.state != "open":
        _from_node(judgement, subject, other.end.node)
    return judgement


def _ask_tiers(world: World, gate: Gate, judgement: _Judgement, other: Party, packet: Packet) -> None:
    """What all tiers say together, and which of their rules."""
    judged = through(world, gate, other.family, other.host, other.end)
    protocol, port = packet.protocol.lower(), packet.port or 0
    found = decided(world, gate, other, packet)
    isolated = judgement.state != "open"
    if judged.allowed.allows(protocol, port):
        judgement.state = "allowed" if isolated or found.rules else "open"
    elif judged.possible.allows(protocol, port):
        judgement.state = "unknown"
        if found.doubt:
            judgement.because = "a ClusterNetworkPolicy may select the pod: its namespace is not known"
    else:
        judgement.state = "denied"
    judgement.fits = [*found.rules, *found.near, *(judgement.fits if found.asks else ())]


def _from_node(judgement: _Judgement, subject: Party, node: str) -> None:
    """A node always reaches its own pods (NP-090); of a pod that has no node yet nobody knows whose it is."""
    nodes = {pod.node for pod in subject.pods}
    if nodes == {node}:
        judgement.state, judgement.because, judgement.fits = "allowed", OWN_NODE, []
    elif (None in nodes or node in nodes) and judgement.state == "denied":
        judgement.state, judgement.because = "unknown", f"depends on whether the pod runs on {node}"


def _over_families(states: list[State], *, sure: bool) -> State:
    """Both families must allow it, where both are sure to be there; else they must agree."""
    if not sure or not states:
        return _over_pods(states)
    for state in ("denied", "unknown"):
        if state in states:
            return state
    return "allowed" if "allowed" in states else "open"


def _over_pods(states: list[State]) -> State:
    """What holds whichever of these is asked."""
    found = set(states)
    if not found:
        return "denied"
    if len(found) == 1:
        return states[0]
    return "allowed" if found == {"open", "allowed"} else "unknown"


def _doubts(state: State, by_family: dict[Family, list[_Judgement]]) -> Iterator[str]:
    """What an answer depends on."""
    if state == "denied":
        if not by_family:
            yield "there is no family in which both have an address"
        return
    every = [judgement for found in by_family.values() for judgement in found]
    yield from dict.fromkeys(each.because for each in every if each.because)
    doubts = dict.fromkeys(
        f"{fit.reference.policy} {fit.reference.rule} {fit.doubt}"
        for each in every
        if each.state == "unknown"
        for fit in each.fits
        if fit.doubt and fit.port
    )
    yield from doubts
    if any(len({each.state == "denied" for each in found}) > 1 for found in by_family.values()):
        yield "differs between the pods"
    elif not doubts:
        yield "differs between IPv4 and IPv6"


def _allowing(judged: list[_Judgement]) -> Iterator[Reference]:
    """The rules each of which alone allows all of it; if it takes several, all that allow some of it."""
    by_rule: list[dict[tuple[str, str], list[Reference]]] = []
    for each in judged:
        if each.because:
            continue
        found: dict[tuple[str, str], list[Reference]] = {}
        for fit in each.fits:
            if fit.allows:
                found.setdefault((fit.reference.policy, fit.reference.rule), []).append(fit.reference)
        by_rule.append(found)
    if not by_rule:
        return
    names = set(by_rule[0]).intersection(*by_rule[1:]) or {name for found in by_rule for name in found}
    yield from sorted({ref for found in by_rule for name in names for ref in found.get(name, ())}, key=_place)


def _near(found: list[Fit]) -> Iterator[Near]:
    """The rules that do not allow it, what misses least first."""
    missing = [fit for fit in found if not fit.allows]
    missing.sort(key=lambda fit: (fit.distance, _place(fit.reference)))
    seen: set[Reference] = set()
    for fit in missing:
        if fit.reference not in seen and len(seen) < MOST_NEAR:
            seen.add(fit.reference)
            yield Near(fit.reference, fit.reason, fit.distance, fit.edit)


def _place(reference: Reference) -> tuple[str, str, int, str]:
    return reference.policy, reference.file, reference.line, reference.peer or reference.rule
