"""Laws of NetworkPolicy: how verdicts may change when manifests do (semantics, section 0).

Each law takes an evaluator, the manifests, some connections and a seeded generator, and asserts. The
evaluator may be the oracle, a simulator or a kernel: it is asked for all connections of one world in a row.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from tests.oracle import Connection, Manifest
from tests.oracle.addresses import parse_address
from tests.oracle.manifests import read_world

Evaluate: TypeAlias = Callable[[list[Manifest], Connection], bool]
Law: TypeAlias = Callable[[Evaluate, list[Manifest], Sequence[Connection], random.Random], None]
PEER_KEYS = {"ingress": "from", "egress": "to"}


def order_and_repetition_are_neutral(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L1: policies, rules, peers, ports and CIDRs in any order, and twice, mean the same."""
    changed = copy.deepcopy(objects)
    for policy in _policies(changed):
        for rules, peer_key in _rule_lists(policy):
            for rule in rules:
                for entries in (rule or {}).get(peer_key), (rule or {}).get("ports"):
                    _repeat_and_shuffle(entries, rng)
                for peer in (rule or {}).get(peer_key) or []:
                    _repeat_and_shuffle((peer.get("ipBlock") or {}).get("except"), rng)
            _repeat_and_shuffle(rules, rng)
    for policy in list(_policies(changed)):
        if rng.random() < 0.5:
            again = copy.deepcopy(policy)
            again["metadata"]["name"] += "-again"
            changed.append(again)
    rng.shuffle(changed)
    _assert_same(evaluate, objects, changed, connections)


def a_further_rule_never_denies(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L2: a further rule, and a further peer or port next to others, only allows more."""
    before = _explicit(objects)  # a first egress rule would otherwise also name the direction (NP-004)
    after = copy.deepcopy(before)
    for policy in _policies(after):
        direction, peer_key = rng.choice(list(PEER_KEYS.items()))
        spec = policy["spec"]
        rules = spec[direction] = list(spec.get(direction) or [])
        for rule in rules:
            if (rule or {}).get(peer_key):
                rule[peer_key].append(_any_peer(rng))
            if (rule or {}).get("ports"):
                rule["ports"].append(_any_port(rng))
        rules.append({peer_key: [_any_peer(rng)], "ports": [_any_port(rng)]})
    _assert_only_allows(evaluate, before, after, connections)


def a_policy_beside_one_alike_only_allows(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L3, second half: a policy that isolates nothing new can only allow."""
    before = _explicit(objects)
    after = copy.deepcopy(before)
    for policy in list(_policies(after)):
        beside = copy.deepcopy(policy)
        beside["metadata"]["name"] += "-beside"
        for direction, peer_key in PEER_KEYS.items():
            beside["spec"][direction] = [{peer_key: [_any_peer(rng)], "ports": [_any_port(rng)]}]
        after.append(beside)
    _assert_only_allows(evaluate, before, after, connections)


def the_first_policies_of_a_namespace_only_deny(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L3, first half: where nothing is isolated, a policy can only deny."""
    namespaces = sorted({policy["metadata"]["namespace"] for policy in _policies(objects)})
    if not namespaces:
        return
    chosen = rng.choice(namespaces)
    before = [m for m in objects if m["kind"] != "NetworkPolicy" or m["metadata"]["namespace"] != chosen]
    _assert_only_allows(evaluate, objects, before, connections)


def splitting_rules_is_neutral(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L4: one rule for each peer, or for each port, means the same."""
    changed = copy.deepcopy(objects)
    for policy in _policies(changed):
        for rules, peer_key in _rule_lists(policy):
            rules[:] = [part for rule in rules for part in _split_rule(rule, peer_key, rng)]
    _assert_same(evaluate, objects, changed, connections)


def splitting_blocks_is_neutral(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L5: a CIDR is its two halves, and `except` is set difference within one ipBlock."""
    changed = copy.deepcopy(objects)
    for policy in _policies(changed):
        for rules, peer_key in _rule_lists(policy):
            for rule in rules:
                if rule and rule.get(peer_key):
                    rule[peer_key] = [part for peer in rule[peer_key] for part in _split_peer(peer, rng)]
    _assert_same(evaluate, objects, changed, connections)


def writing_the_default_types_is_neutral(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L6: policyTypes that say what the default says mean the same."""
    _assert_same(evaluate, objects, _explicit(objects), connections)


def families_agree_without_blocks(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L7: selectors do not know families: between dual-stack pods IPv4 and IPv6 have one verdict."""
    without = copy.deepcopy(objects)
    for policy in _policies(without):
        for rules, peer_key in _rule_lists(policy):
            for rule in rules:
                for peer in (rule or {}).get(peer_key) or []:
                    if peer.pop("ipBlock", None) is not None:
                        peer["podSelector"] = {}
    pairs = _twin_connections(without, connections, rng)
    ipv4 = [evaluate(without, connection) for connection, _ in pairs]
    ipv6 = [evaluate(without, connection) for _, connection in pairs]
    assert ipv4 == ipv6, [pair for pair, a, b in zip(pairs, ipv4, ipv6, strict=True) if a != b]


def labels_of_unselectable_pods_are_neutral(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L8: host-network and terminal pods are not selected, whatever their labels."""
    changed = copy.deepcopy(objects)
    for pod in changed:
        if pod["kind"] == "Pod" and not _is_selectable(pod):
            pod["metadata"]["labels"] = rng.choice([{}, {"app": "web"}, {"app": "db", "tier": "front"}])
    _assert_same(evaluate, objects, changed, connections)


def without_a_selecting_policy_all_is_open(
    evaluate: Evaluate, objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> None:
    """L16: no policy, or none that selects a pod, denies nothing."""
    empty = [manifest for manifest in objects if manifest["kind"] != "NetworkPolicy"]
    selecting_nothing = copy.deepcopy(objects)
    for policy in _policies(selecting_nothing):
        policy["spec"] = {
            **(policy.get("spec") or {}),
            "podSelector": {"matchLabels": {"selects": "nothing"}},
        }
    for world in (empty, selecting_nothing):
        denied = [str(connection) for connection in connections if not evaluate(world, connection)]
        assert denied == []


LAWS: tuple[Law, ...] = (
    order_and_repetition_are_neutral,
    a_further_rule_never_denies,
    a_policy_beside_one_alike_only_allows,
    the_first_policies_of_a_namespace_only_deny,
    splitting_rules_is_neutral,
    splitting_blocks_is_neutral,
    writing_the_default_types_is_neutral,
    families_agree_without_blocks,
    labels_of_unselectable_pods_are_neutral,
    without_a_selecting_policy_all_is_open,
)


def _assert_same(
    evaluate: Evaluate, before: list[Manifest], after: list[Manifest], connections: Sequence[Connection]
) -> None:
    old = [(str(connection), evaluate(before, connection)) for connection in connections]
    new = [(str(connection), evaluate(after, connection)) for connection in connections]
    assert old == new


def _assert_only_allows(
    evaluate: Evaluate, before: list[Manifest], after: list[Manifest], connections: Sequence[Connection]
) -> None:
    old = [evaluate(before, connection) for connection in connections]
    new = [evaluate(after, connection) for connection in connections]
    closed = [str(c) for c, was, is_open in zip(connections, old, new, strict=True) if was and not is_open]
    assert closed == []


def _policies(objects: list[Manifest]) -> Iterator[Manifest]:
    return (manifest for manifest in objects if manifest["kind"] == "NetworkPolicy")


def _rule_lists(policy: Manifest) -> Iterator[tuple[list[Any], str]]:
    for direction, peer_key in PEER_KEYS.items():
        if rules := (policy.get("spec") or {}).get(direction):
            yield rules, peer_key


def _repeat_and_shuffle(entries: list[Any] | None, rng: random.Random) -> None:
    if entries:
        entries.append(copy.deepcopy(rng.choice(entries)))
        rng.shuffle(entries)


def _explicit(objects: list[Manifest]) -> list[Manifest]:
    changed = copy.deepcopy(objects)
    for policy in _policies(changed):
        spec = policy["spec"] = policy.get("spec") or {}
        default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        spec["policyTypes"] = spec.get("policyTypes") or default
    return changed


def _any_peer(rng: random.Random) -> Manifest:
    return rng.choice(
        [
            {"podSelector": {}},
            {"podSelector": {"matchLabels": {"app": "web"}}},
            {"namespaceSelector": {"matchLabels": {"team": "blue"}}},
            {"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}},
            {"ipBlock": {"cidr": "::/0"}},
        ]
    )


def _any_port(rng: random.Random) -> Manifest:
    return rng.choice([{"port": 80}, {"port": "http"}, {"protocol": "UDP"}, {"port": 1, "endPort": 8080}])


def _split_rule(rule: Manifest | None, peer_key: str, rng: random.Random) -> list[Manifest | None]:
    key = rng.choice([peer_key, "ports"])
    if rule is None or not rule.get(key):
        return [rule]
    return [{**rule, key: [entry]} for entry in rule[key]]


def _split_peer(peer: Manifest, rng: random.Random) -> list[Manifest]:
    """Split a block in halves or write it without `except`; leave selectors and odd spellings alone."""
    block = peer.get("ipBlock") or {"cidr": ""}
    try:
        cidr = ip_network(block["cidr"])
        excepts = [ip_network(text) for text in block.get("except") or []]
    except ValueError:
        return [peer]
    if rng.random() < 0.5:
        left = _difference(cidr, excepts)
        # Nothing left: `from: []` would mean everybody, so the full except stays as it is (NP-075).
        return [{"ipBlock": {"cidr": str(part)}} for part in left] or [peer]
    if cidr.prefixlen == cidr.max_prefixlen:
        return [peer]
    halves = [
        {"ipBlock": {"cidr": str(half), "except": [str(e) for e in excepts if _is_inside(e, half)]}}
        for half in cidr.subnets()
        if half not in excepts
    ]
    return halves or [peer]


def _is_inside(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return inner.version == outer.version and inner[0] in outer and inner.prefixlen >= outer.prefixlen


def _difference(
    cidr: IPv4Network | IPv6Network, excepts: Sequence[IPv4Network | IPv6Network]
) -> list[IPv4Network | IPv6Network]:
    """Cut the excepts out, by halving whatever one of them touches without covering it."""
    if any(_is_inside(cidr, block) for block in excepts):
        return []
    if not any(_is_inside(block, cidr) for block in excepts):
        return [cidr]
    return [part for half in cidr.subnets() for part in _difference(half, excepts)]


def _is_selectable(pod: Manifest) -> bool:
    terminal = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not terminal and pod["spec"].get("hostNetwork") is not True


def _twin_connections(
    objects: list[Manifest], connections: Sequence[Connection], rng: random.Random
) -> list[tuple[Connection, Connection]]:
    """Pair connections between dual-stack pods whose addresses are possible and claimed by nobody else."""
    held = [
        [entry["ip"] for entry in (manifest["status"].get("podIPs") or [])]
        for manifest in objects
        if manifest["kind"] == "Pod" and _is_selectable(manifest)
    ]
    counts = [address for addresses in held for address in addresses]
    world = read_world(objects)
    dual = [
        sorted(addresses, key=lambda text: ip_address(text).version)
        for addresses in held
        if len(addresses) == 2
        and all(counts.count(address) == 1 for address in addresses)
        and all(world.claimants(one) for text in addresses if (one := parse_address(text)))
    ]
    pairs = []
    for connection in connections if dual else ():
        source, destination = rng.choice(dual), rng.choice(dual)
        ipv4, ipv6 = (
            Connection(source[i], destination[i], connection.proto, connection.dport) for i in (0, 1)
        )
        pairs.append((ipv4, ipv6))
    return pairs
