"""Every pass keeps meaning and the IR's invariants; address classes say what the rules say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.ir import Isolation, Snapshot
from policyd_compiler.lower.classes import HostIndex, classify
from policyd_compiler.lower.decide import Decider
from policyd_compiler.passes.order import PASSES
from policyd_compiler.passes.rewrite import Pass
from policyd_compiler.verify import verify
from tests.strategies.snapshots import SPAN, V4, V6, allows, snapshots

packets = st.tuples(
    st.sampled_from([4, 6]),
    st.integers(-1, SPAN),
    st.sampled_from(["tcp", "udp", "sctp", "icmp"]),
    st.sampled_from([0, 1, 78, 79, 80, 81, 82, 443, 450, 451, 65534, 65535]),
)


def isolations_of(snapshot: Snapshot) -> list[Isolation | None]:
    """Both directions of every endpoint."""
    return [isolation for e in snapshot.endpoints for isolation in (e.ingress, e.egress)]


@pytest.mark.parametrize("rewrite", PASSES, ids=lambda p: p.name)
@given(snapshot=snapshots(), packets=st.lists(packets, min_size=4, max_size=12))
def test_pass_keeps_meaning(
    rewrite: Pass, snapshot: Snapshot, packets: list[tuple[int, int, str, int]]
) -> None:
    """For every packet, the rules say the same before and after."""
    after = rewrite(snapshot)
    verify(snapshot)
    verify(after)
    for old, new in zip(isolations_of(snapshot), isolations_of(after), strict=True):
        for family, offset, protocol, port in packets:
            peer = (V4 if family == 4 else V6) + offset
            expected = allows(old, snapshot, family, peer, protocol, port)
            assert allows(new, after, family, peer, protocol, port) == expected


@given(snapshot=snapshots(), packets=st.lists(packets, min_size=4, max_size=12))
def test_classes_say_what_rules_say(snapshot: Snapshot, packets: list[tuple[int, int, str, int]]) -> None:
    """Look-up by host, then by range, then the default, is the same as asking every rule of every tier."""
    indexes = {family: HostIndex(snapshot.hosts, family) for family in (4, 6)}
    for isolation in isolations_of(snapshot):
        if isolation is None:
            continue
        for family, offset, protocol, port in packets:
            peer = (V4 if family == 4 else V6) + offset
            decider = Decider(isolation)
            classes = classify(decider, indexes[family], family)
            bit = next((1 << i for i, h in enumerate(snapshot.hosts) if h.address(family) == peer), 0)
            found = next(
                (ports for ports, mask in classes.hosts if mask & bit),
                next(
                    (ports for (low, high), ports in classes.ranges if low <= peer <= high), classes.default
                ),
            )
            ports = decider.masks.ports(found)
            assert ports.allows(protocol, port) == allows(isolation, snapshot, family, peer, protocol, port)
