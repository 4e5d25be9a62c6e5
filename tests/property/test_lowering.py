"""Lowered rulesets do what the IR says, for all three tiers: the simulator against the rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Snapshot
from policyd_compiler.options import Options
from policyd_compiler.sim import Packet, Simulator
from tests.strategies.snapshots import SPAN, V4, V6, allows, snapshots

ports = st.sampled_from([0, 1, 79, 80, 81, 82, 443, 450, 451, 65534, 65535])
protocols = st.sampled_from(["tcp", "udp", "sctp", "icmp", 253, 136])


@given(
    snapshot=snapshots(),
    family=st.sampled_from([4, 6]),
    ends=st.tuples(st.integers(-1, SPAN), st.integers(-1, SPAN)),
    protocol=protocols,
    port=ports,
)
def test_forwarded_packet_meets_egress_then_ingress(
    snapshot: Snapshot, family: int, ends: tuple[int, int], protocol: str | int, port: int
) -> None:
    """A packet passes if the sender's egress and the receiver's ingress allow it, where local."""
    base = V4 if family == 4 else V6
    source, destination = base + ends[0], base + ends[1]
    local = {e.host.address(family): e for e in snapshot.endpoints}
    sender, receiver = local.get(source), local.get(destination)
    name = protocol if isinstance(protocol, str) else "other"
    expected = allows(
        sender.egress if sender else None,
        snapshot,
        family,
        destination,
        name,
        port,
    ) and allows(receiver.ingress if receiver else None, snapshot, family, source, name, port)
    simulator = Simulator(compile_snapshot(snapshot, Options()).table)
    packet = Packet(family, source, destination, protocol, port)  # type: ignore[arg-type]
    trace = simulator.evaluate(packet)
    assert (trace.verdict == "accept") == expected, "\n".join(trace.steps)
