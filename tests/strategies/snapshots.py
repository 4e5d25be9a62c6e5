"""Snapshots of the IR with all three tiers, and what they mean, read rule by rule.

`allows` is the slow, obvious reading of `ir.py`'s first page; passes and lowering are held to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from hypothesis import strategies as st

from policyd_compiler.addr import contains, union
from policyd_compiler.ir import (
    ANYTHING,
    Action,
    Direction,
    Endpoint,
    Host,
    Isolation,
    Origin,
    Peers,
    Rule,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.layout import Group, Layout
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: Addresses are few and close together, so that bounds meet.
V4 = 10 << 24
V6 = 0xFD << 120
SPAN = 12

offsets = st.integers(0, SPAN - 1)
intervals = st.tuples(offsets, offsets).map(lambda pair: (min(pair), max(pair)))
port_intervals = st.sampled_from([(80, 80), (79, 81), (443, 450), (0, 65535), (1, 65535), (65535, 65535)])
port_ranges = st.lists(port_intervals, max_size=2).map(union)
port_sets = st.one_of(
    st.just(EVERYTHING),
    st.builds(PortSet, tcp=port_ranges, udp=port_ranges, sctp=port_ranges, other=st.booleans()),
)


@st.composite
def peers(draw: st.DrawFn, hosts: int) -> Peers:
    """Anything, or a mixture of hosts and ranges, often nothing at all."""
    if draw(st.integers(0, 5)) == 0:
        return ANYTHING
    v4 = union((V4 + low, V4 + high) for low, high in draw(st.lists(intervals, max_size=2)))
    v6 = union((V6 + low, V6 + high) for low, high in draw(st.lists(intervals, max_size=2)))
    return Peers(hosts=draw(st.integers(0, (1 << hosts) - 1)), v4=v4, v6=v6)


@st.composite
def isolations(draw: st.DrawFn, direction: Direction, hosts: int) -> Isolation:
    """Any non-empty selection of tiers, in their order, for each of up to three claimants (NP-166)."""
    claimants = draw(st.sampled_from([1, 1, 1, 2, 3]))
    stages = []
    of = st.lists(st.sampled_from(list(Tier)), min_size=1, max_size=3, unique=True)
    chosen = [
        (number, tier) for number in range(claimants) for tier in sorted(draw(of), key=list(Tier).index)
    ]
    for number, tier in chosen:
        middle = tier is Tier.NETWORK_POLICY
        actions = st.just(Action.ACCEPT) if middle else st.sampled_from(list(Action))
        rules = draw(
            st.lists(
                st.builds(
                    Rule,
                    action=actions,
                    peers=peers(hosts),
                    ports=port_sets,
                    origins=st.just((Origin("NetworkPolicy", "ns", "p", "ingress[0]"),)),
                ),
                max_size=4,
            )
        )
        stages.append(Stage(tier, tuple(rules), Action.DENY if middle else Action.PASS, number))
    return Isolation(direction, (Origin("NetworkPolicy", "ns", "p"),), tuple(stages), draw(layouts(stages)))


@st.composite
def layouts(draw: st.DrawFn, stages: list[Stage]) -> Layout:
    """Any groups of hosts that rules name, with any ports."""
    rules = [rule for stage in stages for rule in stage.rules if rule.ports]
    if any(rule.peers.anything for rule in rules):  # which a pass may join with one that names hosts
        return Layout(own=draw(st.booleans()))
    named = 0
    for rule in rules:
        named |= rule.peers.hosts
    of = st.sampled_from([NOTHING, *(rule.ports for rule in rules)])
    members = [each & named for each in draw(st.lists(st.integers(0, named), max_size=4))]
    return Layout(
        groups=tuple(Group(f"{hosts}", hosts, draw(of)) for hosts in members),
        own=draw(st.booleans()),
        alike=draw(st.one_of(st.none(), of)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Up to six hosts, up to three of them endpoints that may share isolations."""
    count = draw(st.integers(1, 6))
    v4 = draw(st.permutations(range(SPAN)))[:count]
    v6 = draw(st.permutations(range(SPAN)))[:count]
    missing = draw(st.lists(st.sampled_from(["", "", "", "4", "6"]), min_size=count, max_size=count))
    hosts = tuple(
        Host(None if m == "4" else V4 + a, None if m == "6" else V6 + b)
        for a, b, m in zip(v4, v6, missing, strict=True)
    )
    ingress = draw(st.lists(st.one_of(st.none(), isolations("ingress", count)), min_size=1, max_size=2))
    egress = draw(st.lists(st.one_of(st.none(), isolations("egress", count)), min_size=1, max_size=2))
    endpoints = tuple(
        Endpoint(f"ns/p{i}", hosts[i], draw(st.sampled_from(ingress)), draw(st.sampled_from(egress)))
        for i in range(min(count, 3))
    )
    return Snapshot("n1", hosts, endpoints)


def allows(
    isolation: Isolation | None, snapshot: Snapshot, family: int, peer: int, protocol: str, port: int
) -> bool:
    """Whether one direction lets a packet pass, read from the IR rule by rule."""
    if isolation is None:
        return True
    return all(
        _passes(stages, snapshot, family, peer, protocol, port)
        for _, stages in groupby(isolation.stages, lambda stage: stage.claimant)
    )


def _passes(
    stages: Iterable[Stage], snapshot: Snapshot, family: int, peer: int, protocol: str, port: int
) -> bool:
    """Whether one claimant may have it."""
    for stage in stages:
        action = next(
            (
                rule.action
                for rule in stage.rules
                if is_peer(rule.peers, snapshot, family, peer) and rule.ports.allows(protocol, port)
            ),
            stage.otherwise,
        )
        if action is not Action.PASS:
            return action is Action.ACCEPT
    return True


def is_peer(peers: Peers, snapshot: Snapshot, family: int, address: int) -> bool:
    """Whether an address is among these peers."""
    if peers.anything or contains(peers.ranges(family), address):
        return True
    return any(
        peers.hosts >> bit & 1 and host.address(family) == address for bit, host in enumerate(snapshot.hosts)
    )
