"""What the API server refuses is refused in a manifest, and fails closed where it is stored nevertheless."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.kube.decode import Decoded, decode_live, decode_manifest
from policyd.kube.objects import (
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.kube.reading import ReadingOptions
from tests.cases.form import block, egress, ingress, namespaces, pods, policy, requirement
from tests.cases.refused import LEGACY, REFUSED
from tests.oracle import Manifest

CLOSE = ReadingOptions(refused="close")


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    decoded = decode_manifest(REFUSED[name], ReadingOptions())
    assert decoded.refused
    assert decoded.item is None


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_cidrs_are_accepted_or_refused_as_asked(name: str) -> None:
    """NP-077 to NP-079: servers with StrictIPCIDRValidation refuse them, others do not."""
    lenient = decode_manifest(LEGACY[name], ReadingOptions())
    assert lenient.item is not None
    assert {mistake.severity for mistake in lenient.mistakes} == {"warning"}
    assert decode_manifest(LEGACY[name], ReadingOptions(legacy_cidrs="error")).item is None


def test_unknown_fields_are_refused_or_pruned_as_asked() -> None:
    """NP-041: a server prunes them, so that `fom:` leaves a rule for everybody."""
    raw = ingress("x", "a", {"fom": [{"podSelector": {}}]})
    assert decode_manifest(raw, ReadingOptions()).item is None
    pruned = decode_manifest(raw, ReadingOptions(unknown_fields="warning"))
    assert isinstance(pruned.item, NetworkPolicy)
    assert pruned.item.ingress == (PolicyRule(None, None),)


NOBODY = PolicyRule((), None)
WEB = LabelSelector((Requirement("app", "In", ("web",)),))
GOOD = pods(app="web")


def live(raw: Manifest) -> NetworkPolicy:
    decoded: Decoded = decode_live(raw)
    assert decoded.refused
    assert decode_manifest(raw, CLOSE) == decoded, "a refused manifest is closed in the same way"
    assert isinstance(decoded.item, NetworkPolicy)
    return decoded.item


# What is wrong in one entry of `from`: it matches nothing, and the entry next to it still counts (NP-089).
PEERS: list[tuple[str, Any]] = [
    ("empty", {}),
    ("text", "web"),
    ("unknown key", {"podSelector": {}, "serviceAccountSelector": {}}),
    ("both", {"podSelector": {}, **block("10.0.0.0/8")}),
    ("no operator", pods({"key": "k"})),
    ("In without values", pods(requirement("k", "In"))),
    ("Exists with values", pods(requirement("k", "Exists", "v"))),
    ("unknown operator", pods(requirement("k", "Gt", "1"))),
    ("value of another type", {"podSelector": {"matchLabels": {"k": 1}}}),
    ("values of another type", pods({"key": "k", "operator": "In", "values": [1]})),
    ("namespaces not understood", {**namespaces(requirement("k", "In")), "podSelector": {}}),
    ("unknown key of a selector", {"podSelector": {"matchLabel": {"k": "v"}}}),
    ("unknown key of an expression", pods({"key": "k", "operator": "Exists", "value": "v"})),
]


@pytest.mark.parametrize(("name", "peer"), PEERS, ids=[row[0] for row in PEERS])
def test_a_bad_peer_matches_nothing_and_the_others_count(name: str, peer: Any) -> None:
    alone = live(ingress("x", "a", {"from": [peer]}))
    assert alone.ingress == (NOBODY,)
    beside = live(ingress("x", "a", {"from": [peer, GOOD]}))
    good = decode_live(ingress("x", "a", {"from": [GOOD]})).item
    assert isinstance(good, NetworkPolicy)
    assert beside == good


@pytest.mark.parametrize(
    "bad",
    [
        block("10.0.0.0/33"),
        block("10.0.0.0/8", "text"),
        {"ipBlock": {}},
        {"ipBlock": {"cidr": ""}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": "10.1.0.0/16"}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "excepts": ["10.1.0.0/16"]}},
    ],
)
def test_a_block_with_a_bad_cidr_or_except_matches_nothing(bad: Manifest) -> None:
    """NP-089: an except that is ignored would let in what it takes out."""
    rules = live(ingress("x", "a", {"from": [bad]})).ingress
    assert rules == (PolicyRule((IPBlock(None),), None),)


PORTS: list[tuple[str, Any]] = [
    ("number", {"port": 0}),
    ("name", {"port": "HTTP"}),
    ("protocol", {"port": 80, "protocol": "ICMP"}),
    ("range", {"port": 80, "endPort": 79}),
    ("range of a name", {"port": "http", "endPort": 90}),
    ("unknown key", {"port": 80, "endport": 90}),
    ("boolean", {"port": True}),
    ("text", "80"),
]


@pytest.mark.parametrize(("name", "port"), PORTS, ids=[row[0] for row in PORTS])
def test_a_bad_port_matches_nothing_and_the_others_count(name: str, port: Any) -> None:
    assert live(egress("x", "a", {"ports": [port]})).egress == (PolicyRule(None, ()),)
    beside = live(egress("x", "a", {"ports": [port, {"port": 443}]}))
    assert beside.egress == (PolicyRule(None, (PolicyPort("TCP", 443),)),)


RULES: list[tuple[str, Any]] = [
    ("unknown key", {"from": [], "protocols": []}),
    ("text", "all"),
    ("from is no list", {"from": {"podSelector": {}}}),
    ("ports is no list", {"ports": 80}),
]


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[row[0] for row in RULES])
def test_a_bad_rule_allows_nothing_and_the_others_count(name: str, rule: Any) -> None:
    assert live(ingress("x", "a", rule)).ingress == ()
    assert live(ingress("x", "a", rule, {"ports": [{}]})).ingress == (PolicyRule(None, (PolicyPort("TCP"),)),)


# A spec of which it is unclear whom it selects, or in which direction: what there is to isolate is isolated.
SPECS: list[tuple[str, Any, bool, bool]] = [
    ("selector", policy("x", podSelector="all", ingress=[{}]), True, False),
    ("selector's key", policy("x", podSelector={"matchLabel": {}}, policyTypes=["Egress"]), False, True),
    ("unknown field", policy("x", policyType=["Egress"], ingress=[{}]), True, False),
    ("types", policy("x", policyTypes=["ingress"], ingress=[{}]), True, True),
    ("types are no list", policy("x", policyTypes="Ingress", ingress=[{}]), True, True),
    ("spec", {**policy("x"), "spec": "all"}, True, True),
]


@pytest.mark.parametrize(("name", "raw", "in_", "out"), SPECS, ids=[row[0] for row in SPECS])
def test_a_spec_that_is_not_understood_isolates_and_allows_nothing(
    name: str, raw: Manifest, in_: bool, out: bool
) -> None:
    item = live(raw)
    assert (item.ingress, item.egress) == (() if in_ else None, () if out else None)
    assert item.pods == LabelSelector()


def test_a_selector_that_is_not_understood_selects_the_whole_namespace() -> None:
    item = live(policy("x", podSelector={"matchExpressions": [{"key": "k", "operator": "Gt"}]}))
    assert item.pods == LabelSelector()


def test_three_types_are_refused_but_understood() -> None:
    """NP-008: only the count is wrong."""
    item = live(policy("x", policyTypes=["Ingress", "Egress", "Ingress"], ingress=[{}]))
    assert (item.ingress, item.egress) == ((PolicyRule(None, None),), ())


def test_a_label_value_that_is_not_legal_is_evaluated_literally() -> None:
    """NP-045: no pod can have it, so In matches nobody, and NotIn everybody."""
    item = live(ingress("x", "a", {"from": [pods(requirement("k", "NotIn", "bad value!"))]}))
    [rule] = item.ingress or ()
    assert rule.peers is not None
    [peer] = rule.peers
    assert peer == PodPeer(None, LabelSelector((Requirement("k", "NotIn", ("bad value!",)),)))
