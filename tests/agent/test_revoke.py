"""Which connections are to be forgotten, by what is tracked of them alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.agent.connections.inside import Judged
from policyd.agent.connections.inside import denied as denied_inside
from policyd.agent.connections.judge import denied, mirrored
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from policyd.netlink.conntrack import Flow, asked_for
from policyd.netlink.messages import attribute, pack
from policyd.pipeline import build
from policyd_compiler.for_pod import Address, Cutter, Surroundings
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from policyd_compiler.ruleset import Ruleset
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


def redirected(source: int, address: int, port: int, proxy: int = 15006) -> Flow:
    """A connection that a mesh in the pod has sent to its proxy, with its name in the kernel."""
    ends = pack({1: source.to_bytes(4), 2: address.to_bytes(4)})
    ports = pack({1: b"\6", 2: (40000).to_bytes(2), 3: port.to_bytes(2)})
    tuples = attribute(1, ends, nested=True) + attribute(2, ports, nested=True)
    name = attribute(1, tuples, nested=True)
    return Flow(4, 6, source, 40000, address, proxy, dnat=True, icmp_type=None, name=name)


def test_in_a_mesh_a_connection_is_judged_by_the_port_that_was_asked_for() -> None:
    """What comes is redirected behind the hook that judged it; what goes never left by itself."""
    web, outside = 10 << 24 | 1, 203 << 24 | 7
    objects = [i for text in (WORLD, policy("web", "web", 80)) for i in load_manifest(text.encode(), "x")[0]]
    options = Options()
    cutter = Cutter(Ruleset(build(ClusterState.of(objects), "n1", options).table), Surroundings(), options)
    pod = Judged(cutter.cut([Address(4, web)], "eth0"), "eth0", [Address(4, web)])
    allowed, other = redirected(outside, web, 80), redirected(outside, web, 15006)
    assert asked_for(allowed) == (web, 80)
    sent = replace(allowed, source=web, destination=127 << 24 | 1, port=15001)
    assert denied_inside((allowed, other, sent), pod) == (other,)
