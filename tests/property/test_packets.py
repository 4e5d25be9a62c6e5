"""Walks: what policies say of a connection is what becomes of its packet in the rulesets of its nodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.ask.ends import end_of
from policyd.ask.fits import Packet
from policyd.ask.why import why
from policyd.cli.why_packets import walk_all
from tests.asking import ANY_WORLD, PROBES, world_of


@given(data=st.data())
def test_every_answer_is_what_becomes_of_the_packet(data: st.DataObject) -> None:
    """A walk that differs raises. Each direction is judged on its own where the pods are on two nodes."""
    world = world_of(data.draw(ANY_WORLD))
    ends = [end_of(world, endpoint) for endpoint in world.endpoints]
    if not ends:
        return
    for _ in range(4):
        sender, receiver = data.draw(st.sampled_from(ends)), data.draw(st.sampled_from(ends))
        protocol, port = data.draw(st.sampled_from(PROBES))
        packet = Packet("other" if port is None else protocol, port)
        verdict = why(world, sender, receiver, packet)
        walks = walk_all(world, verdict)
        assert walks.walks or walks.left_out
        if world.unknown_namespaces or walks.left_out:
            continue
        fates = {walk.trace.verdict for walk in walks.walks}
        if verdict.answer == "allowed":
            assert fates == {"accept"}
        elif verdict.answer == "denied" and verdict.egress.state != "unknown":
            assert "drop" in fates
