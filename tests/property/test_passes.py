"""Every pass keeps meaning and the IR's invariants; address classes say what the rules say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.ir import Isolation, Snapshot
from policyd_compiler.lower.classes import Classes, HostIndex, classify
from policyd_compiler.lower.decide import Decider
from policyd_compiler.passes.order import PASSES
from policyd_compiler.passes.rewrite import Pass
from policyd_compiler.verify import verify
from tests.strategies.partition import atoms_of, partition
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
@given(snapshot=snapshots())
def test_pass_keeps_meaning(rewrite: Pass, snapshot: Snapshot) -> None:
    """For every packet there can be, the rules say the same before and after."""
    after = rewrite(snapshot)
    verify(snapshot)
    verify(after)
    atoms = atoms_of(snapshot, after)
    for old, new in zip(isolations_of(snapshot), isolations_of(after), strict=True):
        assert partition(new, after, atoms) == partition(old, snapshot, atoms)


@given(snapshot=snapshots(), packets=st.lists(packets, min_size=4, max_size=12))
def test_a_partition_says_what_rules_say(
    snapshot: Snapshot, packets: list[tuple[int, int, str, int]]
) -> None:
    """The reading of whole atoms is that of single packets."""
    atoms = atoms_of(snapshot)
    for isolation in isolations_of(snapshot):
        found = partition(isolation, snapshot, atoms)
        for family, offset, protocol, port in packets:
            peer = (V4 if family == 4 else V6) + offset
            allowed = found[family][atoms.find(family, peer)] >> atoms.find_port(protocol, port) & 1
            assert allowed == allows(isolation, snapshot, family, peer, protocol, port)


@given(snapshot=snapshots())
def test_classes_say_what_rules_say(snapshot: Snapshot) -> None:
    """Look-up by host, then by range, then the default, is the same as asking every rule of every tier."""
    atoms = atoms_of(snapshot)
    for isolation in isolations_of(snapshot):
        if isolation is None:
            continue
        expected = partition(isolation, snapshot, atoms)
        for family in (4, 6):
            decider = Decider(isolation)
            classes = classify(decider, HostIndex(snapshot.hosts, family), family)
            found = tuple(
                atoms.mask(decider.masks.ports(looked_up(classes, snapshot, family, address)))
                for address in atoms.addresses[family]
            )
            assert found == expected[family]


def looked_up(classes: Classes, snapshot: Snapshot, family: int, address: int) -> int:
    """The ports of an address as a chain finds them, as a mask of the decider."""
    bit = next((1 << i for i, h in enumerate(snapshot.hosts) if h.address(family) == address), 0)
    by_range = (ports for (low, high), ports in classes.ranges if low <= address <= high)
    by_host = (ports for ports, mask in classes.hosts if mask & bit)
    return next(by_host, next(by_range, classes.default))
