"""Defaults and shapes of a NetworkPolicy (semantics 1.1, 1.3, 1.10), as they arrive from both ends."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.objects import (
    LabelSelector,
    NetworkPolicy,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.kube.reading import ReadingOptions
from tests.cases.form import policy

EVERYTHING = LabelSelector()
ANY = PolicyRule(None, None)
OWN = PodPeer(None, EVERYTHING)
DNS = [{"protocol": "UDP", "port": 53}]


def decode(spec: object) -> NetworkPolicy:
    raw = {**policy("x"), "spec": spec}
    written, stored = decode_manifest(raw, ReadingOptions()), decode_live(raw)
    assert not written.refused, written.mistakes
    assert written.item == stored.item
    assert isinstance(written.item, NetworkPolicy)
    return written.item


# What a spec means: which directions are isolated (not None), and by which rules.
SHAPES: list[tuple[str, object, Any, Any]] = [
    ("NP-001 null", None, (), None),
    ("NP-001 empty", {}, (), None),
    ("NP-003 missing", {"podSelector": {}}, (), None),
    ("NP-003 null", {"policyTypes": None, "egress": None}, (), None),
    ("NP-003 empty", {"policyTypes": [], "egress": []}, (), None),
    ("NP-004 a rule", {"egress": [{}]}, (), (ANY,)),
    ("NP-004 with ingress", {"policyTypes": [], "ingress": [{}], "egress": [{}]}, (ANY,), (ANY,)),
    ("NP-005", {"policyTypes": ["Egress"]}, None, ()),
    ("NP-006", {"policyTypes": ["Egress"], "ingress": [{}]}, None, ()),
    ("NP-007", {"policyTypes": ["Ingress"], "egress": [{}]}, (), None),
    ("NP-008", {"policyTypes": ["Ingress", "Ingress"]}, (), None),
    ("NP-012 both", {"policyTypes": ["Egress", "Ingress"], "ingress": None, "egress": []}, (), ()),
    ("NP-013 empty rule", {"ingress": [{}]}, (ANY,), None),
    ("NP-013 null rule", {"ingress": [None]}, (ANY,), None),
]


@pytest.mark.parametrize(("rule", "spec", "ingress", "egress"), SHAPES, ids=[row[0] for row in SHAPES])
def test_isolated_directions_and_rules(rule: str, spec: object, ingress: Any, egress: Any) -> None:
    decoded = decode(spec)
    assert (decoded.pods, decoded.ingress, decoded.egress) == (EVERYTHING, ingress, egress)


@pytest.mark.parametrize(
    "selector",
    [
        None,
        {},
        {"matchLabels": None},
        {"matchExpressions": None},
        {"matchLabels": {}, "matchExpressions": []},
    ],
)
def test_an_empty_pod_selector_selects_every_pod(selector: object) -> None:
    """NP-002; a missing one is the first row above."""
    assert decode({"podSelector": selector}).pods == EVERYTHING


# NP-014 to NP-019, NP-025, NP-026: peers and ports of one rule.
RULES: list[tuple[str, object, PolicyRule]] = [
    ("NP-014 null", {"from": None}, ANY),
    ("NP-014 empty", {"from": []}, ANY),
    ("NP-016 null", {"ports": None}, ANY),
    ("NP-016 empty", {"ports": []}, ANY),
    ("NP-017 empty", {"ports": [{}]}, PolicyRule(None, (PolicyPort("TCP"),))),
    ("NP-017 null", {"ports": [None]}, PolicyRule(None, (PolicyPort("TCP"),))),
    ("NP-017 nulls", {"ports": [{"port": None, "protocol": None}]}, PolicyRule(None, (PolicyPort("TCP"),))),
    ("NP-018", {"ports": [{"protocol": "UDP"}]}, PolicyRule(None, (PolicyPort("UDP"),))),
    ("NP-019", {"ports": [{"port": 53}]}, PolicyRule(None, (PolicyPort("TCP", 53),))),
    ("SCTP", {"ports": [{"port": 1, "protocol": "SCTP"}]}, PolicyRule(None, (PolicyPort("SCTP", 1),))),
    ("NP-025 one", {"ports": [{"port": 5, "endPort": 5}]}, PolicyRule(None, (PolicyPort("TCP", 5, 5),))),
    (
        "NP-026",
        {"ports": [{"port": 1, "endPort": 65535}]},
        PolicyRule(None, (PolicyPort("TCP", 1, 65535),)),
    ),
    ("a whole float", {"ports": [{"port": 80.0}]}, PolicyRule(None, (PolicyPort("TCP", 80),))),
    ("a name", {"ports": [{"port": "http-2"}]}, PolicyRule(None, (PolicyPort("TCP", "http-2"),))),
    (
        "NP-020 peers and ports",
        {"from": [{"podSelector": {}}], "ports": DNS},
        PolicyRule((OWN,), (PolicyPort("UDP", 53),)),
    ),
]


@pytest.mark.parametrize(("rule", "written", "expected"), RULES, ids=[row[0] for row in RULES])
def test_peers_and_ports_of_a_rule(rule: str, written: object, expected: PolicyRule) -> None:
    assert decode({"ingress": [written]}).ingress == (expected,)


def test_egress_rules_read_to_and_not_from() -> None:
    spec = {"policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}, {"to": []}, None]}
    assert decode(spec).egress == (PolicyRule((OWN,), None), ANY, ANY)


def test_rules_that_have_no_effect_are_reported() -> None:
    """NP-006, NP-007: accepted, to no effect, which nobody means."""
    raw = policy("x", policyTypes=["Egress"], ingress=[{}], egress=[{}])
    [mistake] = decode_manifest(raw, ReadingOptions()).mistakes
    assert (mistake.severity, mistake.path) == ("warning", ("spec", "ingress"))


def test_status_and_managed_fields_mean_nothing() -> None:
    """NP-029."""
    raw = policy("x", policyTypes=["Ingress"])
    plain = decode_manifest(raw, ReadingOptions())
    raw["metadata"] |= {
        "managedFields": [{"manager": "kubectl"}],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }
    raw["status"] = {"conditions": [{"type": "Whatever"}]}
    assert decode_manifest(raw, ReadingOptions()) == plain


def test_equal_selectors_are_equal_values() -> None:
    """L1: order and repetition mean nothing."""
    expressions = [
        {"key": "b", "operator": "In", "values": ["2", "1", "2"]},
        {"key": "a", "operator": "Exists"},
        {"key": "a", "operator": "Exists"},
    ]
    pods = decode({"podSelector": {"matchExpressions": expressions, "matchLabels": {"b": "1"}}}).pods
    assert pods == LabelSelector(
        (Requirement("a", "Exists"), Requirement("b", "In", ("1",)), Requirement("b", "In", ("1", "2")))
    )


@pytest.mark.parametrize(
    ("rule", "peer", "expected"),
    [
        ("NP-036 pods", {"podSelector": {}}, OWN),
        ("NP-036 namespaces", {"namespaceSelector": {}}, PodPeer(EVERYTHING, EVERYTHING)),
        ("NP-036 both", {"namespaceSelector": {}, "podSelector": {}}, PodPeer(EVERYTHING, EVERYTHING)),
        ("NP-036 null is missing", {"namespaceSelector": None, "podSelector": {}}, OWN),
        (
            "NP-037",
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k": ""}}},
            PodPeer(EVERYTHING, LabelSelector((Requirement("k", "In", ("",)),))),
        ),
    ],
)
def test_a_missing_namespace_selector_is_the_own_namespace(
    rule: str, peer: object, expected: PodPeer
) -> None:
    assert decode({"ingress": [{"from": [peer]}]}).ingress == (PolicyRule((expected,), None),)
