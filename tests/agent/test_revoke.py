"""Which connections are to be forgotten, by what is tracked of them alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.agent.connections.judge import denied, mirrored
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from policyd.netlink.conntrack import Flow
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy

CLIENT, SERVER = 10 << 24 | 1, 10 << 24 | 2
FORGOTTEN = Flow(4, 6, CLIENT, 40000, SERVER, 80, dnat=False, icmp_type=None, name=b"")
#: What an answer that was on its way opens, once the connection is forgotten.
ANSWER = replace(FORGOTTEN, source=SERVER, source_port=80, destination=CLIENT, port=40000)


def test_the_answering_side_of_a_forgotten_connection_is_forgotten_too() -> None:
    """NP-122: else it would come back with the denied side as the one that answers."""
    others = (
        FORGOTTEN,
        replace(ANSWER, family=6),
        replace(ANSWER, protocol=17),
        replace(ANSWER, source_port=81),
        replace(ANSWER, port=40001),
        replace(ANSWER, destination=CLIENT + 9),
        replace(ANSWER, source=SERVER + 9),
    )
    assert mirrored((*others, ANSWER), (FORGOTTEN,)) == (ANSWER,)
    assert mirrored((ANSWER,), ()) == ()


def test_without_ports_there_is_no_other_side() -> None:
    ping = replace(FORGOTTEN, protocol=1, source_port=0, port=0, icmp_type=8)
    assert mirrored((replace(ping, source=SERVER, destination=CLIENT),), (ping,)) == ()


@pytest.mark.parametrize("bridge", ["", "cni0"])
@pytest.mark.parametrize("interfaces", [(), ("cni0", "veth*")])
def test_what_came_by_the_pods_own_interface_is_not_denied(bridge: str, interfaces: tuple[str, ...]) -> None:
    """NP-162: tracked connections name no interface, and the bindings must not end them all."""
    texts = (WORLD, policy("web", "web", 80))
    objects = [item for text in texts for item in load_manifest(text.encode(), "x")[0]]
    pods = {"shop/web": Attachment("veth1", bridge), "shop/db": Attachment("veth2", bridge)}
    attachments = Attachments(pods, *((("cni0",), ("veth1", "veth2")) if bridge else ()))
    state = replace(ClusterState.of(objects), attachments=attachments)
    table = build(state, "n1", Options(pod_interfaces=interfaces)).table
    web, db, outside = 10 << 24 | 1, 10 << 24 | 2, 203 << 24 | 7
    allowed = replace(FORGOTTEN, source=db, destination=web)
    flows = (
        allowed,
        replace(allowed, source=outside),
        replace(allowed, source=web, destination=outside, port=443),
        replace(allowed, port=81),
    )
    assert denied(flows, table, {4: frozenset(), 6: frozenset()}) == flows[3:]
