"""A peer that selects nobody is told, with the reason where it is known: a rule that seems to do nothing."""

from __future__ import annotations

import pytest

from policyd.cluster.idle import idle_warnings
from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest

WORLD = (
    namespace("x"),
    namespace("kube-system", team="infra"),
    pod("x/a", "10.0.0.1"),
    pod("x/b", "10.0.0.2"),
    pod("kube-system/proxy", "192.0.2.1", spec={"hostNetwork": True}),
    pod("x/pending"),
)
HOST = (
    "selects only pods on the host's network, which no selector reaches: "
    "an ipBlock with the addresses of their nodes does"
)
NOBODY = "selects no pod that has an address, so it allows nothing"


def told(*policies: Manifest, node: str = "n1") -> list[str]:
    decoded = (decode_live(raw).item for raw in (*WORLD, *policies))
    state = ClusterState.of(item for item in decoded if item is not None)
    built = build(state, node, Options())
    assert built.stats.idle_peers == len(built.idle)
    return [text for _, text in idle_warnings(state, built.idle)]


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        (pods(pod="a"), None),
        (namespaces(), None),
        (block("192.0.2.1/32"), None),
        (namespaces(team="infra"), HOST),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "proxy"}}}, HOST),
        (pods(pod="proxy"), NOBODY),
        (pods(pod="pending"), NOBODY),
        (namespaces(team="nobody"), NOBODY),
    ],
)
def test_a_peer_that_selects_nobody_is_reported_with_the_reason(peer: Manifest, said: str | None) -> None:
    policy = ingress("x", "b", {"from": [pods(pod="a"), peer]}, name="web")
    expected = [] if said is None else [f"NetworkPolicy x/web: spec.ingress[0].from[1] {said}"]
    assert told(policy) == expected


def test_it_is_reported_once_however_many_pods_the_policy_selects_and_ports_it_names() -> None:
    rule = {"to": [pods(pod="nobody")], "ports": [{"port": 80}, {"port": "http"}]}
    assert told(egress("x", None, {"to": [pods(pod="a")]}, rule, name="e")) == [
        f"NetworkPolicy x/e: spec.egress[1].to[0] {NOBODY}"
    ]


def test_policies_that_select_no_pod_of_the_node_are_not_spoken_of() -> None:
    policy = ingress("x", "b", {"from": [pods(pod="nobody")]}, name="web")
    assert len(told(policy)) == 1
    assert told(policy, node="n2") == []
