"""Which policies mean something else than is written where pods are in Istio's ambient mesh, and how."""

from __future__ import annotations

import pytest

from policyd.cluster.mesh_ports import MODE, SIDECAR, mesh_pods, off_port
from tests.cases.form import block, egress, ingress, pods
from tests.cases.mesh import MEMBER, state_of
from tests.oracle import Manifest

TCP, UDP, MESH = {"port": 80}, {"port": 53, "protocol": "UDP"}, {"port": 15008}
FRIENDS = pods(pod="friend")


@pytest.mark.parametrize(
    ("spaces", "web", "is_member"),
    [
        (MEMBER, {}, True), ({}, MEMBER, True), ({}, {}, False), (MEMBER, {MODE: "none"}, False),
        ({MODE: "none"}, {}, False), (MEMBER, {SIDECAR: "istio"}, False), ({MODE: "sidecar"}, MEMBER, True),
    ],
)  # fmt: skip
def test_members_are_known_by_labels(spaces: dict[str, str], web: dict[str, str], is_member: bool) -> None:
    found = mesh_pods(state_of(spaces=spaces, web=web), "n1")
    assert [each.name for each in found] == (["web"] if is_member else [])
    assert (
        off_port(state_of(ingress("x", "web", {"ports": [TCP]}), spaces=spaces, web=web), "n1") != ()
    ) == is_member


@pytest.mark.parametrize(
    ("rule", "how"),
    [
        ({"ports": [TCP]}, "closed"),
        ({"from": [FRIENDS], "ports": [TCP, UDP]}, "closed"),
        ({"ports": [{"port": "http"}]}, "closed"),
        ({"from": [FRIENDS], "ports": [TCP, MESH]}, "open"),
        ({"ports": [{"port": 15000, "endPort": 16000}]}, "open"),
        ({"from": [FRIENDS]}, None),  # every port, the mesh's, too
        ({}, None),
        ({"ports": [UDP]}, None),  # the mesh carries TCP alone
        ({"ports": [{"protocol": "TCP"}]}, None),
        ({"from": [block("192.0.2.0/24")], "ports": [TCP]}, None),  # nobody of the mesh is there
        ({"from": [block("192.0.2.0/24"), FRIENDS], "ports": [TCP]}, "closed"),
    ],
)
def test_what_becomes_of_ports(rule: Manifest, how: str | None) -> None:
    found = off_port(state_of(ingress("x", "web", rule, name="p")), "n1")
    assert [(each.policy, each.direction, each.how) for each in found] == (
        [("x/p", "ingress", how)] if how else []
    )


def test_only_policies_of_the_nodes_pods_count_and_each_once() -> None:
    policies = (
        ingress("x", "far", {"ports": [TCP]}, name="far"),
        egress("x", "web", {"ports": [TCP]}, {"to": [FRIENDS], "ports": [TCP]}, name="out"),
    )
    found = off_port(state_of(*policies), "n1")
    assert [(each.policy, each.direction, each.how) for each in found] == [("x/out", "egress", "closed")]


@pytest.mark.parametrize(
    ("action", "port", "how"),
    [
        ("Deny", 80, "passed"), ("Deny", 15008, "closed"), ("Pass", 80, "closed"),
        ("Accept", 80, "closed"), ("Accept", 15008, "open"),
    ],
)  # fmt: skip
def test_tiers_are_told_as_well(action: str, port: int, how: str) -> None:
    subject = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "web"}}}}
    everybody: list[Manifest] = [{"namespaces": {}}]
    rule = {
        "action": action,
        "from": everybody,
        "protocols": [{"tcp": {"destinationPort": {"number": port}}}],
    }
    tier = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "t"},
        "spec": {"tier": "Admin", "priority": 1, "subject": subject, "ingress": [rule]},
    }
    found = off_port(state_of(tier), "n1")
    assert [(each.policy, each.direction, each.how) for each in found] == [("t", "ingress", how)]
    assert off_port(state_of(tier, spaces={}), "n1") == ()
