"""What ClusterNetworkPolicies say: semantics.md, section 2, read rule by rule from raw manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.oracle.addresses import Address, parse_block
from tests.oracle.manifests import Manifest, Pod, World, items, mapping
from tests.oracle.policies import selects

PEERS = {"Ingress": ("namespaces", "pods"), "Egress": ("namespaces", "pods", "nodes", "networks")}
RULE = {"Ingress": {"name", "action", "from", "protocols"}, "Egress": {"name", "action", "to", "protocols"}}
OPERATORS = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}  # with values or without


@dataclass(frozen=True, slots=True)
class Packet:
    """One end's view of a packet: whom it comes from or goes to, and who receives it."""

    peer: Address
    claimants: tuple[Pod, ...]  # of the peer's address
    receivers: tuple[Pod, ...]
    protocol: str
    number: int | None


class NotUnderstood(Exception):
    """A newer API, a peer that this engine does not know, or what makes no sense (CNP-040 to CNP-046)."""


def decide(world: World, tier: str, direction: str, subject: Pod, packet: Packet) -> tuple[str, str]:
    """Ask one tier: Accept, Deny or Pass, and why. No match is as Pass: the next tier is asked (CNP-002)."""
    policies = [p for p in world.cluster_policies if _is_in_force(p, tier)]
    for policy in sorted(policies, key=lambda p: (p["spec"]["priority"], p["metadata"]["name"])):
        if not _is_subject(policy["spec"]["subject"], world, subject):
            continue
        for number, rule in enumerate(items(policy["spec"].get(direction.lower()))):
            action = _effect(rule, direction, world, packet)
            if action is not None:
                return action, f"rule {number} of {tier} policy {policy['metadata']['name']}"
    return "Pass", ""


def _is_in_force(policy: Manifest, tier: str) -> bool:
    """Without a place in the order, or a subject, a policy has no effect (CNP-046, CNP-047)."""
    spec = mapping(policy.get("spec"))
    priority = spec.get("priority")
    return (
        spec.get("tier") == tier
        and isinstance(priority, int)
        and 0 <= priority <= 1000
        and set(spec) <= {"tier", "priority", "subject", "ingress", "egress"}
    )


def _is_subject(subject: Any, world: World, pod: Pod) -> bool:
    if not isinstance(subject, dict) or len(subject) != 1 or not set(subject) <= {"namespaces", "pods"}:
        return False
    try:
        return _selects_pod(subject, world, pod)
    except NotUnderstood:
        return False


def _effect(rule: Any, direction: str, world: World, packet: Packet) -> str | None:
    """What a rule does with a packet; None if it does not match."""
    action = rule.get("action") if isinstance(rule, dict) else None
    if action not in ("Accept", "Deny", "Pass"):
        return "Deny"  # CNP-045
    try:
        if not set(rule) <= RULE[direction]:
            raise NotUnderstood
        peers = _peers(rule["from" if direction == "Ingress" else "to"], direction)
        protocols = _protocols(rule["protocols"]) if "protocols" in rule else None
        # Everything is read before anything is asked: an entry that is not understood counts for all.
        for pod in world.pods[:1]:
            for peer in peers:
                _matches(peer, world, packet.peer, pod)
        every = _matching(peers, protocols, world, packet, all)
        some = _matching(peers, protocols, world, packet, any)
    except (NotUnderstood, KeyError):
        return None if action == "Accept" else "Deny"  # CNP-040
    if action == "Deny":
        return "Deny" if some else None  # NP-166
    if action == "Pass" and some and not every:
        return "Deny"
    return action if every else None


def _matching(
    peers: list[Manifest],
    protocols: list[Manifest] | None,
    world: World,
    packet: Packet,
    of_claimants: Callable[..., bool],
) -> bool:
    """Whether the rule matches: for all that may be the peer, or for any of them (NP-166)."""
    whom = any(
        of_claimants(_matches(peer, world, packet.peer, pod) for pod in packet.claimants)
        if packet.claimants
        else _matches(peer, world, packet.peer, None)
        for peer in peers
    )
    return whom and (protocols is None or any(_is_for(entry, packet, of_claimants) for entry in protocols))


def _peers(raw: Any, direction: str) -> list[Manifest]:
    """The entries of `from` or `to`, each with one key that is known."""
    if not isinstance(raw, list) or not raw:
        raise NotUnderstood
    for entry in raw:
        if not isinstance(entry, dict) or len(entry) != 1 or not set(entry) <= set(PEERS[direction]):
            raise NotUnderstood
    return raw


def _matches(peer: Manifest, world: World, address: Address, pod: Pod | None) -> bool:
    """Whether a peer means an address; `pod` is who claims it."""
    if "networks" in peer:
        blocks = [parse_block(text) for text in peer["networks"]]
        if not blocks or None in blocks:
            raise NotUnderstood
        return any(block.holds(address) for block in blocks if block is not None)
    if "nodes" in peer:
        return any(
            address in addresses and _selects(peer["nodes"], labels)
            for labels, addresses in world.nodes.values()
        ) or not _is_selector(peer["nodes"])
    return pod is not None and _selects_pod(peer, world, pod)


def _selects_pod(peer: Manifest, world: World, pod: Pod) -> bool:
    """`namespaces`, or `pods` of any namespace unless a selector says of which (CNP-020)."""
    if "namespaces" in peer:
        namespaces, pods = peer["namespaces"], {}
    else:
        found = peer["pods"]
        if not isinstance(found, dict) or not {"podSelector"} <= set(found) <= {
            "podSelector",
            "namespaceSelector",
        }:
            raise NotUnderstood
        namespaces, pods = found.get("namespaceSelector"), found["podSelector"]
    of_pod, anywhere = _selects(pods, pod.labels), not any(mapping(namespaces).values())
    known = world.namespaces.get(pod.namespace)
    in_namespace = _selects(namespaces, known or {})
    return of_pod and (anywhere or (known is not None and in_namespace))


def _selects(selector: Any, labels: Manifest) -> bool:
    _is_selector(selector)
    return selects(selector, labels)


def _is_selector(selector: Any) -> bool:
    """True, or NotUnderstood for what a server takes and nobody can evaluate (CNP-046)."""
    if selector is None:
        return True
    if not isinstance(selector, dict) or not set(selector) <= {"matchLabels", "matchExpressions"}:
        raise NotUnderstood
    for entry in items(selector.get("matchExpressions")):
        wanted = OPERATORS.get(entry.get("operator"))
        if wanted is None or not entry.get("key") or bool(items(entry.get("values"))) != wanted:
            raise NotUnderstood
    return True


def _protocols(raw: Any) -> list[Manifest]:
    if not isinstance(raw, list) or not raw:
        raise NotUnderstood
    for entry in raw:
        known = {"tcp", "udp", "sctp", "destinationNamedPort"}
        if not isinstance(entry, dict) or len(entry) != 1 or not set(entry) <= known:
            raise NotUnderstood
        for body in entry.values():
            if isinstance(body, dict):
                _bounds(body)
    return raw


def _bounds(body: Manifest) -> tuple[int, int]:
    """The first and the last port of an entry."""
    port = body.get("destinationPort")
    if set(body) != {"destinationPort"} or not isinstance(port, dict) or len(port) != 1:
        raise NotUnderstood
    match port:
        case {"number": int(number)}:
            return number, number
        case {"range": {"start": int(start), "end": int(end)}} if start < end:
            return start, end
        case _:
            raise NotUnderstood


def _is_for(entry: Manifest, packet: Packet, of_claimants: Callable[..., bool]) -> bool:
    ((key, body),) = entry.items()
    if key == "destinationNamedPort":
        # On the pod that receives, of whatever protocol the name is there (CNP-032, CNP-033).
        named = (body, packet.protocol, packet.number)
        return packet.receivers != () and of_claimants(named in pod.ports for pod in packet.receivers)
    first, last = _bounds(body)
    return key.upper() == packet.protocol and packet.number is not None and first <= packet.number <= last
