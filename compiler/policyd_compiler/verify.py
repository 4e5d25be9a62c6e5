"""What must hold of a Snapshot. Run before and after every pass in tests, and once before lowering."""

from __future__ import annotations

from policyd_compiler.addr import BITS, Ranges
from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import Action, Isolation, Rule, Snapshot, Tier

_TIER_ORDER = {tier: index for index, tier in enumerate(Tier)}


def verify(snapshot: Snapshot) -> None:
    """Raise CompilerBug with the first invariant that does not hold."""
    for family, bits in BITS.items():
        addresses = [a for host in snapshot.hosts if (a := host.address(family)) is not None]
        fitting = not addresses or 0 <= min(addresses) <= max(addresses) < 1 << bits
        _must(fitting, f"an address does not fit family {family}")
        _must(len(set(addresses)) == len(addresses), f"two hosts own one address of family {family}")
    keys = [endpoint.key for endpoint in snapshot.endpoints]
    _must(keys == sorted(set(keys)), "endpoints must be sorted by key, each once")
    seen: set[int] = set()
    for endpoint in snapshot.endpoints:
        for direction, isolation in (("ingress", endpoint.ingress), ("egress", endpoint.egress)):
            if isolation is None or id(isolation) in seen:
                continue
            seen.add(id(isolation))
            _must(
                isolation.direction == direction, f"{endpoint.key}: {direction} holds {isolation.direction}"
            )
            _verify_isolation(isolation, len(snapshot.hosts), seen)


def _verify_isolation(isolation: Isolation, hosts: int, seen: set[int]) -> None:
    _must(bool(isolation.stages), "an isolation has a stage at least")
    order = [(stage.claimant, _TIER_ORDER[stage.tier]) for stage in isolation.stages]
    _must(order == sorted(set(order)), "stages stand claimant by claimant, in the order of the tiers")
    for stage in isolation.stages:
        _must(stage.otherwise is not Action.ACCEPT, "a stage ends in deny or pass")
        for rule in stage.rules:
            if id(rule) not in seen:  # isolations have rules in common
                seen.add(id(rule))
                _verify_rule(rule, hosts)


def _verify_rule(rule: Rule, hosts: int) -> None:
    peers = rule.peers
    _must(bool(rule.origins), "a rule must say where it came from")
    _must(0 <= peers.hosts < 1 << hosts, "a peer is not among the hosts")
    _must(not (peers.anything and (peers.hosts or peers.v4 or peers.v6)), "anything needs no list next to it")
    for ranges, top in ((peers.v4, 1 << 32), (peers.v6, 1 << 128)):
        _must(_canonical(ranges, top), f"ranges are not canonical: {ranges[:4]}")
    for ranges in (rule.ports.tcp, rule.ports.udp, rule.ports.sctp):
        _must(_canonical(ranges, 1 << 16), f"ports are not canonical: {ranges[:4]}")


def _canonical(ranges: Ranges, top: int) -> bool:
    last = -2
    for low, high in ranges:
        if not last + 1 < low <= high < top:
            return False
        last = high
    return True


def _must(holds: bool, sentence: str) -> None:  # noqa: FBT001 an assertion
    if not holds:
        raise CompilerBug(sentence)
