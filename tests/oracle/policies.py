"""What one NetworkPolicy says: whom it selects, in which directions, and what its rules match."""

from __future__ import annotations

from typing import Any

from tests.oracle.addresses import Address, parse_block
from tests.oracle.manifests import Manifest, Pod, Policy, Refused, World, items, mapping


def policy_types(spec: Manifest) -> list[str]:
    """Apply the API server's default: Ingress, and Egress if there is any egress rule (NP-003, NP-004)."""
    types = items(spec.get("policyTypes"))
    return types or ["Ingress", *(["Egress"] if items(spec.get("egress")) else [])]


def isolates(policy: Policy, direction: str, pod: Pod) -> bool:
    return (
        policy.namespace == pod.namespace
        and direction in policy_types(policy.spec)
        and selects(policy.spec.get("podSelector"), pod.labels)
    )


def selects(selector: Any, labels: Manifest) -> bool:
    """Judge a label selector: all requirements must hold, and none always do (NP-002, NP-030)."""
    selector = mapping(selector)
    required = mapping(selector.get("matchLabels")).items()
    return all(key in labels and labels[key] == value for key, value in required) and all(
        _requirement_holds(expression, labels) for expression in items(selector.get("matchExpressions"))
    )


def _requirement_holds(expression: Manifest, labels: Manifest) -> bool:
    key, values = expression.get("key"), items(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values  # a missing key matches (NP-031)
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise Refused(f"selector operator {other!r} (NP-044)")


def rules(policy: Policy, direction: str) -> list[Manifest]:
    """List the rules of one direction; a null rule is the empty rule (NP-013)."""
    return [mapping(rule) for rule in items(policy.spec.get(direction.lower()))]


def peers_match(
    entries: Any, policy_namespace: str, world: World, address: Address, claimants: tuple[Pod, ...]
) -> bool:
    """Judge `from` or `to`: no entry means everybody (NP-014, NP-015), otherwise any entry suffices."""
    return not items(entries) or any(
        _peer_matches(entry, policy_namespace, world, address, claimants) for entry in items(entries)
    )


def _peer_matches(
    peer: Any, policy_namespace: str, world: World, address: Address, claimants: tuple[Pod, ...]
) -> bool:
    peer = mapping(peer)
    block, pods, namespaces = (peer.get(k) for k in ("ipBlock", "podSelector", "namespaceSelector"))
    if (block is None) == (pods is None and namespaces is None):
        raise Refused("a peer is an ipBlock, or one or two selectors (NP-043)")
    if block is not None:
        return _ip_block_matches(block, address)
    # Nodes, host-network pods, the world outside: no selector reaches them (NP-046). Of several pods that
    # claim the address one entry must select each (NP-166).
    return claimants != () and all(
        _namespace_matches(namespaces, policy_namespace, world, pod) and selects(pods, pod.labels)
        for pod in claimants
    )


def _namespace_matches(selector: Any, policy_namespace: str, world: World, pod: Pod) -> bool:
    if selector is None:
        return pod.namespace == policy_namespace  # NP-036
    known = world.namespaces.get(pod.namespace)
    return known is not None and selects(selector, known)  # NP-168


def _ip_block_matches(ip_block: Manifest, address: Address) -> bool:
    """Judge one ipBlock: a set difference of its own (NP-074); text that is no CIDR empties it (NP-089)."""
    cidr = parse_block(ip_block.get("cidr"))
    excepts = [parse_block(text) for text in items(ip_block.get("except"))]
    if cidr is None or None in excepts:
        return False
    return cidr.holds(address) and not any(block.holds(address) for block in excepts if block is not None)


def ports_match(entries: Any, protocol: str, number: int | None, receivers: tuple[Pod, ...]) -> bool:
    """Judge `ports`: no entry means every packet of every protocol (NP-016, NP-060)."""
    return not items(entries) or any(
        _port_matches(mapping(entry), protocol, number, receivers) for entry in items(entries)
    )


def _port_matches(entry: Manifest, protocol: str, number: int | None, receivers: tuple[Pod, ...]) -> bool:
    if (entry.get("protocol") or "TCP") != protocol:  # NP-019; ICMP and others have no spelling (NP-061)
        return False
    match entry.get("port"):
        case None:
            return True  # NP-017, NP-018
        case str(name):
            # On the pod that receives, whichever direction is judged (NP-050, NP-051); no pod, no match. Of
            # several that may receive, each must have it so (NP-166).
            return receivers != () and all((name, protocol, number) in pod.ports for pod in receivers)
        case first:
            last = entry.get("endPort")
            return number is not None and first <= number <= (first if last is None else last)
