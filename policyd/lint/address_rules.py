"""NP107: ipBlocks that hold addresses of pods or Services; and NP003 where pods have both families."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.cluster.peers import block_ranges
from policyd.kube.objects import IPBlock
from policyd.lint.block_rules import one_family
from policyd.lint.drafts import Draft, Subject
from policyd.lint.seen import Seen
from policyd.lint.selectors import peers_of
from policyd_compiler.addr import Ranges, contains


def blocks_with_pods(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP107: a block that is less than a whole family and holds pods, or a Service's own address."""
    policy = subject.policy
    if policy is None:
        return
    for path, peer in peers_of(policy):
        if isinstance(peer, IPBlock) and peer.cidr is not None and peer.cidr.prefix:
            message = _holds(peer, seen)
            if message:
                yield Draft("NP107", path, message, near=True)


def _holds(block: IPBlock, seen: Seen) -> str:
    peers = block_ranges(block)
    service = _service_in(peers.ranges(4), peers.ranges(6), seen)
    if service:
        return f"holds the address of Service {service}, which no packet has any more when policies are asked"
    numbers = sorted({*seen.addressed(4, peers.v4), *seen.addressed(6, peers.v6)})
    inside = [seen.pods[number] for number in numbers]
    if not inside:
        return ""
    more = f" and {len(inside) - 1} more pods" if len(inside) > 1 else ""
    return f"holds the address of pod {inside[0].namespace}/{inside[0].name}{more}: pods change theirs"


def _service_in(v4: Ranges, v6: Ranges, seen: Seen) -> str:
    return next(
        (
            name
            for family, value, name in seen.service_addresses
            if contains(v4 if family == 4 else v6, value)
        ),
        "",
    )


def one_family_only(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP003: all of IPv4 and nothing of IPv6, where a pod has both."""
    if subject.policy is not None and seen.dual_stack:
        yield from one_family(subject.policy)
