"""What all tiers together make of a packet, and which rules of ClusterNetworkPolicies say so. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policyd.ask.ends import End, Party, stranger
from policyd.ask.fits import Fit, Packet, Reference
from policyd.ask.gates import Gate
from policyd.ask.judged import OPEN, UNDECIDED, Judged, whichever
from policyd.ask.world import World
from policyd_compiler.addr import contains
from policyd_compiler.ir import Action, Rule, Tier
from policyd_compiler.lower.classes import classify_unnamed
from policyd_compiler.lower.decide import Decider
from policyd_compiler.ports import EVERYTHING


def through(world: World, gate: Gate | None, family: int, host: int | None, other: End) -> Judged:
    """What a gate lets through to or from a host, or an address that no pod has."""
    if gate is None:
        return OPEN
    if host is not None:
        return world.gates.judge(gate, host, family)
    if gate.doubt:
        return UNDECIDED
    decider = Decider(gate.certain)
    classes = classify_unnamed(decider, family)
    if other.address is not None:
        ports = decider.masks.ports(classes.of_unnamed(other.address[1]))
        return Judged(ports, EVERYTHING if stranger(world, other) else ports)
    every = [decider.masks.ports(mask) for mask in (classes.default, *(mask for _, mask in classes.ranges))]
    return whichever(Judged(ports, ports) for ports in every)


@dataclass(frozen=True, slots=True)
class Decided:
    """What ClusterNetworkPolicies have to do with a packet in one direction.

    `rules` accept it, `near` deny it; `asks` NetworkPolicies, too, whether they allow it. `doubt`: it is not
    known whom a policy selects.
    """

    rules: tuple[Fit, ...] = ()
    near: tuple[Fit, ...] = ()
    asks: bool = True
    doubt: bool = False


#: How far from allowing a rule is that surely denies before any NetworkPolicy is asked.
FIRST = -2


def has_tiers(gate: Gate | None) -> bool:
    """Whether a ClusterNetworkPolicy has a word in what a gate lets through."""
    return gate is not None and (
        gate.doubt or any(stage.tier is not Tier.NETWORK_POLICY for stage in gate.possible.stages)
    )


def decided(world: World, gate: Gate, other: Party, packet: Packet) -> Decided:
    """Which rules of tiers decide: those of Admin until one does, and those of Baseline likewise."""
    if gate.doubt:
        return Decided(doubt=True)
    rules: list[Fit] = []
    near: list[Fit] = []
    asks = True
    for tier in (Tier.ADMIN, Tier.BASELINE):
        for rule, sure in _matching(world, gate, tier, other, packet):
            reason = f"{_DOES[rule.action]} it, in tier {tier.value.capitalize()}"
            origin = rule.origins[0]
            reference = Reference(origin.policy, origin.rule, "", origin.file, origin.line)
            if rule.action is Action.ACCEPT:
                rules.append(Fit(reference, True, True if sure else None, reason, 0, _DOUBT))  # noqa: FBT003
            elif rule.action is Action.DENY:
                distance = FIRST if sure and tier is Tier.ADMIN else -1
                near.append(Fit(reference, True, False if sure else None, reason, distance, _DOUBT))  # noqa: FBT003
            if sure:
                asks &= tier is Tier.BASELINE or rule.action is Action.PASS
                break
    return Decided(tuple(rules), tuple(near), asks)


_DOES = {Action.ACCEPT: "accepts", Action.DENY: "denies", Action.PASS: "passes"}
_DOUBT = "depends on what is not known of the other end"


def _matching(
    world: World, gate: Gate, tier: Tier, other: Party, packet: Packet
) -> Iterator[tuple[Rule, bool]]:
    """The rules of a tier that match a packet, in their order, and whether they surely do."""
    protocol, port = packet.protocol.lower(), packet.port or 0
    for of, certain, possible in world.gates.paired(gate):
        if of is not tier or not certain.ports.allows(protocol, port):
            continue
        if other.host is not None:
            surely, maybe = world.gates.matched(certain, possible, other.family)
            if (surely | maybe) >> other.host & 1:
                yield certain, bool(surely >> other.host & 1)
        elif certain.peers.anything:
            yield certain, True
        elif other.address is not None:
            if contains(certain.peers.ranges(other.family), other.address):
                yield certain, True
        elif certain.peers.ranges(other.family):
            yield certain, False
