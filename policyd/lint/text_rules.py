"""The rules that need one policy alone: NP001, NP002, NP004 and NP401. Blocks and labels have rooms below."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from policyd.kube.decode_policy import TYPES
from policyd.kube.decode_type import not_enforced
from policyd.kube.objects import NetworkPolicy, PodPeer, PolicyPort, PolicyRule
from policyd.kube.reading import Path
from policyd.kube.registry import KINDS
from policyd.kube.syntax import quote
from policyd.lint.drafts import Change, Draft, Subject, items, mapping
from policyd.lint.finding import Level
from policyd.lint.selectors import RULE_SIDES, print_selector, rules_of

#: What mostly speaks UDP, so that a port without a protocol, which is TCP, is mostly not meant.
UDP_PORTS: Final = {
    53: "DNS",
    67: "DHCP",
    68: "DHCP",
    69: "TFTP",
    123: "NTP",
    161: "SNMP",
    162: "SNMP",
    500: "IKE",
    514: "syslog",
    1812: "RADIUS",
    1813: "RADIUS",
    4500: "IPsec",
    4789: "VXLAN",
    5353: "mDNS",
    8472: "VXLAN",
    51820: "WireGuard",
}
DNS = 53


def without_effect(subject: Subject) -> Iterator[Draft]:
    """NP001: rules of a direction that policyTypes does not list (NP-006, NP-007)."""
    types = items(subject.spec.get("policyTypes"))
    listed = {entry for entry in types if isinstance(entry, str)}
    if not types or not listed <= set(TYPES):
        return
    for word, direction in TYPES.items():
        if word in listed or not items(subject.spec.get(direction)):
            continue
        yield Draft(
            "NP001",
            ("spec", direction),
            f"has no effect: policyTypes does not list {word}",
            hint=f"add {word} to policyTypes",
            change=Change(("spec", "policyTypes", len(types) - 1), word, append=True),
        )


def either_or(subject: Subject) -> Iterator[tuple[Draft, PodPeer, PodPeer]]:
    """NP002: a namespaceSelector and, as the next item, a podSelector: both in one may be meant (NP-037).

    With the two peers: who knows pods can say whether both in one would select anybody.
    """
    if subject.policy is None:
        return
    for path, rule in rules_of(subject.policy):
        peers = rule.peers or ()
        side = RULE_SIDES[str(path[1])]
        for number, (first, second) in enumerate(pairwise(peers)):
            if not isinstance(first, PodPeer) or not isinstance(second, PodPeer):
                continue
            alone = first.namespaces is not None and not first.pods.requirements
            if not alone or second.namespaces is not None or not second.pods.requirements:
                continue
            if not _is_single(subject, (*path, side, number)):
                continue
            draft = Draft(
                "NP002",
                (*path, side, number + 1),
                f"is a second item: it allows {print_selector(second.pods)} in {subject.policy.namespace} or "
                "any pod of the namespaces above, not the pods that both select",
                hint="for both, write podSelector without the dash",
            )
            yield draft, first, second


def _is_single(subject: Subject, path: Path) -> bool:
    """Whether the peer is written as a namespaceSelector and nothing else, not even an empty podSelector."""
    raw: object = subject.raw
    for step in path:
        raw = raw[step] if isinstance(raw, list) and isinstance(step, int) else mapping(raw).get(str(step))
    return set(mapping(raw)) == {"namespaceSelector"}


def only_tcp(subject: Subject) -> Iterator[Draft]:
    """NP004: a port without a protocol, which is TCP (NP-019), where UDP is mostly spoken; TCP 53 alone."""
    policy = subject.policy
    if policy is None:
        return
    udp = {direction: _udp_ports(rules) for direction, rules in _directions(policy)}
    for path, rule in rules_of(policy):
        written = items(_rule(subject, path).get("ports"))
        for number, port in enumerate(rule.ports or ()):
            raw = mapping(written[number]) if number < len(written) else {}
            here = (*path, "ports", number)
            yield from _judge_port(here, port, raw, udp[str(path[1])])


def _judge_port(path: Path, port: PolicyPort, raw: object, udp: frozenset[int]) -> Iterator[Draft]:
    omitted = mapping(raw).get("protocol") is None
    if port.protocol != "TCP":
        return
    if port.port is None:
        if omitted:
            yield Draft(
                "NP004", path, "names no port and no protocol: it means every port of TCP, and no UDP"
            )
        return
    if not isinstance(port.port, int) or port.end_port is not None or port.port not in UDP_PORTS:
        return
    if (omitted or port.port == DNS) and port.port not in udp:
        missing = "has no protocol, so it is TCP only" if omitted else "is TCP only"
        name = UDP_PORTS[port.port]
        yield Draft(
            "NP004", path, f"{missing}: {name} mostly is UDP", hint=f"add protocol: UDP, port: {port.port}"
        )


def _directions(policy: NetworkPolicy) -> tuple[tuple[str, tuple[PolicyRule, ...]], ...]:
    return ("ingress", policy.ingress or ()), ("egress", policy.egress or ())


def _udp_ports(rules: tuple[PolicyRule, ...]) -> frozenset[int]:
    """The ports in question that any of the rules allows for UDP."""
    ports = [port for rule in rules for port in rule.ports or () if port.protocol == "UDP"]
    if any(rule.ports is None for rule in rules):
        return frozenset(UDP_PORTS)
    return frozenset(number for number in UDP_PORTS if any(_covers(port, number) for port in ports))


def _covers(port: PolicyPort, number: int) -> bool:
    if not isinstance(port.port, int):
        return port.port is None
    return port.port <= number <= (port.end_port or port.port)


def _rule(subject: Subject, path: Path) -> dict[str, object]:
    rules = items(subject.spec.get(str(path[1])))
    number = path[2]
    return dict(mapping(rules[number])) if isinstance(number, int) and number < len(rules) else {}


def of_another_engine(subject: Subject) -> Iterator[Draft]:
    """NP401: a policy that policyd does not enforce."""
    kind, version = subject.raw.get("kind"), subject.raw.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return
    if not_enforced(kind, version, KINDS) is not None:
        # What a service mesh authorizes is decided by its proxies, beside what any NetworkPolicy says.
        level: Level | None = None if kind.endswith("NetworkPolicy") else "note"
        text = f"is a policy of {quote(version)[1:-1]}, which policyd does not enforce"
        yield Draft("NP401", ("kind",), text, level)
