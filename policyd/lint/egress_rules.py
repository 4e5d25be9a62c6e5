"""NP201: pods that may send and cannot resolve names; NP202: what a sender may and its receiver refuses."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.kube.objects import (
    NAME_LABEL,
    IPBlock,
    NetworkPolicy,
    Peer,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Protocol,
)
from policyd.kube.reading import Path
from policyd.kube.selectors import matches
from policyd.lint.drafts import Draft, Subject
from policyd.lint.seen import Seen, SeenPod
from policyd.lint.selectors import RULE_SIDES, rules_of
from policyd.lint.text_rules import DNS

#: What DNS servers listen on behind their Services, beside 53: OpenShift's, and CoreDNS where it is no root.
_DNS_PORTS = (DNS, 1053, 5353, 8053, 9153)
#: To more different receivers no rule of half a permission goes.
MOST_RECEIVERS = 200
MOST_ISOLATING = 50
_SYSTEM = ((NAME_LABEL, "kube-system"),)


def no_names(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP201: egress is isolated, something is allowed, and DNS is not, by any policy of the pod."""
    policy = subject.policy
    if policy is None or not policy.egress or seen.tiers:  # which may let DNS pass before it is asked
        return
    nothing, no_tcp = seen.once(("dns", policy.namespace), lambda: _lacking(policy.namespace, seen))
    selected = seen.selected(policy)
    if selected & nothing:
        who = seen.some(selected & nothing)
        text = f"isolates {who}, and no policy lets it reach DNS: names cannot be resolved"
        yield Draft("NP201", ("spec", "egress"), text, hint="allow UDP and TCP 53 to the cluster's DNS")
    if selected & no_tcp:
        who = seen.some(selected & no_tcp)
        text = f"isolates {who}, which may reach DNS by UDP alone: long answers need TCP"
        yield Draft("NP201", ("spec", "egress"), text, "warn", hint="allow TCP 53, too")


def _lacking(namespace: str, seen: Seen) -> tuple[int, int]:
    """The pods that may send and lack DNS: those that lack it by UDP, and those that lack TCP alone."""
    wants, udp, tcp = 0, 0, 0
    for policy in seen.policies_in.get(namespace, ()):
        rules = policy.egress or ()
        selected = seen.selected(policy) & ~seen.on_host
        wants |= selected if any(map(_wants_names, rules)) else 0
        udp |= selected if any(_may_be_dns(rule, "UDP") for rule in rules) else 0
        tcp |= selected if any(_may_be_dns(rule, "TCP") for rule in rules) else 0
    return wants & ~udp, wants & udp & ~tcp


def _wants_names(rule: PolicyRule) -> bool:
    """Whether a rule is about more than single networks, whose addresses are known."""
    return rule.peers is None or any(not isinstance(p, IPBlock) or _is_all(p) for p in rule.peers)


def _is_all(block: IPBlock) -> bool:
    return block.cidr is not None and block.cidr.prefix == 0


def _may_be_dns(rule: PolicyRule, protocol: Protocol) -> bool:
    """Whether a rule lets DNS pass, as far as can be told without knowing where DNS is."""
    if rule.ports is not None:
        if any(_names_dns(port, protocol) for port in rule.ports):
            return True
        if not any(port.protocol == protocol and port.port is None for port in rule.ports):
            return False
    return rule.peers is None or any(map(_may_hold_dns, rule.peers))


def _names_dns(port: PolicyPort, protocol: Protocol) -> bool:
    if port.protocol != protocol or port.port is None:
        return False
    if isinstance(port.port, str):
        return "dns" in port.port or "domain" in port.port
    return any(port.port <= number <= (port.end_port or port.port) for number in _DNS_PORTS)


def _may_hold_dns(peer: Peer) -> bool:
    if isinstance(peer, IPBlock):
        return peer.cidr is not None
    if peer.namespaces is None:
        return False
    by_name = any(r.key == NAME_LABEL for r in peer.namespaces.requirements)
    return not by_name or matches(peer.namespaces, dict(_SYSTEM))


def half_open(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP202: a rule of egress of which every receiver refuses every port."""
    policy = subject.policy
    if policy is None or seen.tiers:
        return
    senders = seen.selected(policy) & ~seen.on_host
    if not senders:
        return
    for path, rule in rules_of(policy):
        if path[1] != "egress":
            continue
        for number, peer in enumerate(rule.peers or ()):
            if isinstance(peer, PodPeer):
                yield from _judge_receivers(
                    policy, rule, (*path, RULE_SIDES["egress"], number), senders, seen
                )


def _judge_receivers(
    policy: NetworkPolicy, rule: PolicyRule, path: Path, senders: int, seen: Seen
) -> Iterator[Draft]:
    number = path[-1]
    assert isinstance(number, int) and rule.peers is not None  # noqa: S101, PT018 (`half_open` made it)
    peer = rule.peers[number]
    assert isinstance(peer, PodPeer)  # noqa: S101
    if seen.spaces(policy, peer).others:
        return
    receiving = seen.peers(policy, peer) & ~seen.on_host
    refusing: set[str] = set()
    alike = seen.once(("alike", receiving), lambda: _alike(receiving, seen))
    if len(alike) > MOST_RECEIVERS:
        return
    for pod in alike:
        isolating = _isolating(pod, seen)
        if len(isolating) > MOST_ISOLATING:
            return
        if not isolating or any(_lets_in(p, pod, senders, rule, seen) for p in isolating):
            return
        refusing.update(f"{p.namespace}/{p.name}" for p in isolating)
    if refusing:
        names = sorted(refusing)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Draft(
            "NP202", path, f"allows what its receivers refuse: {names[0]}{more} isolates them", near=True
        )


def _alike(mask: int, seen: Seen) -> tuple[SeenPod, ...]:
    """One pod for all that are alike to policies."""
    return tuple({(p.namespace, p.labels, p.ports): p for p in seen.of(mask)}.values())


def _isolating(pod: SeenPod, seen: Seen) -> tuple[NetworkPolicy, ...]:
    """The policies that isolate a pod for ingress."""

    def find() -> tuple[NetworkPolicy, ...]:
        labels = dict(pod.labels)
        policies = seen.policies_in.get(pod.namespace, ())
        return tuple(p for p in policies if p.ingress is not None and matches(p.pods, labels))

    return seen.once(("isolating", pod.namespace, pod.labels), find)


def _lets_in(policy: NetworkPolicy, pod: SeenPod, senders: int, rule: PolicyRule, seen: Seen) -> bool:
    """Whether a policy may let any of the senders reach the pod at a port of the rule."""
    for other in policy.ingress or ():
        if not _ports_meet(rule, other, pod):
            continue
        if other.peers is None:
            return True
        for peer in other.peers:
            if isinstance(peer, IPBlock) or seen.peers(policy, peer) & senders:
                return True
    return False


def _ports_meet(one: PolicyRule, other: PolicyRule, pod: SeenPod) -> bool:
    if one.ports is None or other.ports is None:
        return True
    theirs = [each for port in other.ports for each in _numbers(port, pod)]
    return any(
        mine[0] == protocol and mine[1] <= last and first <= mine[2]
        for port in one.ports
        for mine in _numbers(port, pod)
        for protocol, first, last in theirs
    )


def _numbers(port: PolicyPort, pod: SeenPod) -> list[tuple[Protocol, int, int]]:
    match port.port:
        case None:
            return [(port.protocol, 0, 65535)]
        case int(number):
            return [(port.protocol, number, port.end_port or number)]
        case name:
            return [
                (p.protocol, p.number, p.number)
                for p in pod.ports
                if p.name == name and p.protocol == port.protocol
            ]
