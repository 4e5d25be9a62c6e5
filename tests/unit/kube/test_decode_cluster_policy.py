"""What the CRD of ClusterNetworkPolicy refuses is refused with its place; what a server holds closes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.objects import ClusterNetworkPolicy, TierRule
from policyd.kube.reading import ReadingOptions

GOOD = yaml.safe_load(
    """
    apiVersion: policy.networking.k8s.io/v1beta1
    kind: ClusterNetworkPolicy
    metadata: {name: good}
    spec:
      tier: Admin
      priority: 0
      subject: {namespaces: {matchLabels: {team: blue}}}
      ingress:
      - name: from everywhere
        action: Pass
        from:
        - namespaces: {}
        - pods: {podSelector: {}, namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}
        protocols:
        - tcp: {destinationPort: {number: 80}}
        - udp: {destinationPort: {range: {start: 1, end: 65535}}}
        - destinationNamedPort: http
      egress:
      - action: Deny
        to:
        - networks: [10.0.0.0/8, "2001:db8::/32"]
        - nodes: {}
        - pods: {podSelector: {matchLabels: {app: db}}}
    """
)
DELETE = "deleted"


def changed(path: str, value: object, base: Any = GOOD) -> Any:
    """The good policy with another value at a path such as `spec.egress.0.to`."""
    raw = copy.deepcopy(base)
    *way, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    place = raw
    for step in way:
        place = place[step]
    if value == DELETE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return raw


def read(raw: Any) -> ClusterNetworkPolicy:
    item = decode_live(raw).item
    assert isinstance(item, ClusterNetworkPolicy)
    return item


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha2"])
def test_a_good_policy_is_taken_in_either_version(version: str) -> None:
    raw = {**GOOD, "apiVersion": f"policy.networking.k8s.io/{version}"}
    decoded = decode_manifest(raw, ReadingOptions())
    assert decoded.mistakes == ()
    assert decoded.item == decode_live(raw).item
    assert read(raw).priority == 0
    assert [len(rules or ()) for rules in (read(raw).ingress, read(raw).egress)] == [1, 1]


REFUSED = [
    ("spec", DELETE, ""),
    ("spec.tier", DELETE, "spec"),
    ("spec.tier", "admin", "spec.tier"),
    ("spec.tier", "Platform", "spec.tier"),
    ("spec.priority", DELETE, "spec"),
    ("spec.priority", -1, "spec.priority"),
    ("spec.priority", 1001, "spec.priority"),
    ("spec.priority", "1", "spec.priority"),
    ("spec.priority", 1.5, "spec.priority"),
    ("spec.subject", DELETE, "spec"),
    ("spec.subject", {}, "spec.subject"),
    ("spec.subject", {"namespaces": {}, "pods": {"podSelector": {}}}, "spec.subject"),
    ("spec.subject", {"pods": {}}, "spec.subject.pods"),
    ("spec.subject", {"namespaces": None}, "spec.subject.namespaces"),
    ("spec.subject.namespaces.matchLabels", {"team": None}, "spec.subject.namespaces.matchLabels.team"),
    ("spec.ingress", [GOOD["spec"]["ingress"][0]] * 26, "spec.ingress"),
    ("spec.ingress.0.name", "n" * 101, "spec.ingress[0].name"),
    ("spec.ingress.0.action", DELETE, "spec.ingress[0]"),
    ("spec.ingress.0.action", "Allow", "spec.ingress[0].action"),
    ("spec.ingress.0.from", DELETE, "spec.ingress[0]"),
    ("spec.ingress.0.from", [], "spec.ingress[0].from"),
    ("spec.ingress.0.from", [{"namespaces": {}}] * 26, "spec.ingress[0].from"),
    ("spec.ingress.0.from.0", {}, "spec.ingress[0].from[0]"),
    ("spec.ingress.0.from.0", {"networks": ["10.0.0.0/8"]}, "spec.ingress[0].from[0].networks"),
    ("spec.ingress.0.from.0", {"namespaces": {}, "pods": {"podSelector": {}}}, "spec.ingress[0].from[0]"),
    ("spec.ingress.0.from.0", {"pods": {"namespaceSelector": {}}}, "spec.ingress[0].from[0].pods"),
    ("spec.ingress.0.protocols", [], "spec.ingress[0].protocols"),
    ("spec.ingress.0.protocols.0", {}, "spec.ingress[0].protocols[0]"),
    ("spec.ingress.0.protocols.0", {"tcp": {}}, "spec.ingress[0].protocols[0].tcp"),
    (
        "spec.ingress.0.protocols.0.tcp.destinationPort",
        {},
        "spec.ingress[0].protocols[0].tcp.destinationPort",
    ),
    ("spec.ingress.0.protocols.0.tcp.destinationPort.number", 0, ""),
    ("spec.ingress.0.protocols.1.udp.destinationPort.range", {"start": 5, "end": 5}, ""),
    ("spec.ingress.0.protocols.1.udp.destinationPort.range", {"start": 5}, ""),
    ("spec.egress.0.to.0.networks", [], "spec.egress[0].to[0].networks"),
    ("spec.egress.0.to.0.networks", ["10.0.0.0/8"] * 2, "spec.egress[0].to[0].networks[1]"),
    ("spec.egress.0.to.0.networks.0", "10.0.0.1/8", "spec.egress[0].to[0].networks[0]"),
    ("spec.egress.0.to.0.networks.0", "010.0.0.0/8", "spec.egress[0].to[0].networks[0]"),
    ("spec.egress.0.to.0.networks.0", "10.0.0.0/08", "spec.egress[0].to[0].networks[0]"),
    ("spec.egress.0.to.0.networks.0", "::ffff:10.0.0.0/104", "spec.egress[0].to[0].networks[0]"),
    ("spec.egress.0.to.0.networks.0", "10.0.0.0", "spec.egress[0].to[0].networks[0]"),
    ("spec.egress.0.protocols", [{"destinationNamedPort": "http"}], "spec.egress[0].to[0].networks"),
    ("spec.egress.0.to.1", {"domainNames": []}, "spec.egress[0].to[1].domainNames"),
    ("spec.egress.0.to.1", {"domainNames": ["a.example"] * 2}, "spec.egress[0].to[1].domainNames[1]"),
    *(
        ("spec.egress.0.to.1", {"domainNames": [name]}, "spec.egress[0].to[1].domainNames[0]")
        for name in ("localhost", "*", "*.com", "a.*.com", "a..b", "-a.example", 7)
    ),
    # What a server takes away, so that something broader remains (CNP-048).
    ("spec.ingress.0.ports", [{"portNumber": {"port": 80}}], "spec.ingress[0].ports"),
    (
        "spec.ingress.0.from.0",
        {"namespaces": {}, "sameLabels": ["team"]},
        "spec.ingress[0].from[0].sameLabels",
    ),
    ("spec.ingress.0.from.1.pods.namespaceselector", {}, "spec.ingress[0].from[1].pods.namespaceselector"),
    ("spec.ingress.0.from.0", {"namespaces": {"namespaceSelector": {}}}, ""),
    ("spec.ingress.0.protocols.0.tcp.sourcePort", 1, "spec.ingress[0].protocols[0].tcp.sourcePort"),
    # What a server takes, and nobody can evaluate (CNP-046).
    ("spec.subject.namespaces.matchExpressions", [{"key": "a", "operator": "Gt", "values": ["1"]}], ""),
    ("spec.ingress.0.from.0.namespaces.matchExpressions", [{"key": "a", "operator": "In"}], ""),
]


@pytest.mark.parametrize(
    ("path", "value", "place"), REFUSED, ids=lambda each: "nothing" if each is DELETE else str(each)[:60]
)
def test_what_the_crd_refuses_is_refused_with_its_place(path: str, value: object, place: str) -> None:
    decoded = decode_manifest(changed(path, value), ReadingOptions())
    assert decoded.item is None
    errors = [str(m) for m in decoded.mistakes if m.severity == "error"]
    assert any(error.startswith(f"{place}: " if place else "") for error in errors), errors


def test_blocks_with_host_bits_were_taken_by_v1alpha2() -> None:
    """CNP-024: and are stored still."""
    raw = changed("spec.egress.0.to.0.networks.0", "10.0.0.1/8")
    old = {**raw, "apiVersion": "policy.networking.k8s.io/v1alpha2"}
    decoded = decode_manifest(old, ReadingOptions())
    assert [mistake.severity for mistake in decoded.mistakes] == ["warning"]
    assert read(raw) == read(old) == read(GOOD)
    assert decode_live(raw).mistakes == ()


@pytest.mark.parametrize("key", ["nodes", "domainNames", "destinationNamedPort"])
def test_the_standard_channel_has_less(key: str) -> None:
    raw = {
        "nodes": changed("spec.ingress", DELETE),
        "domainNames": changed("spec.egress.0.to.1", {"domainNames": ["a.example"]}),
        "destinationNamedPort": changed("spec.egress", DELETE),
    }[key]
    assert decode_manifest(raw, ReadingOptions()).item is not None
    standard = decode_manifest(raw, ReadingOptions(cnp_channel="standard"))
    assert standard.item is None
    assert any("standard channel" in mistake.text for mistake in standard.mistakes)


@pytest.mark.parametrize("name", ["a.example", "*.b.example", "A.EXAMPLE.", "x_1.example"])
def test_domain_names_are_taken_and_closed(name: str) -> None:
    """CNP-044: with a warning, as they are not supported."""
    raw = changed("spec.egress.0.to.1", {"domainNames": [name]})
    decoded = decode_manifest(raw, ReadingOptions())
    assert [mistake.severity for mistake in decoded.mistakes] == ["warning"]
    assert isinstance(decoded.item, ClusterNetworkPolicy)
    assert decoded.item.egress == (CLOSED,)


def test_a_name_that_no_port_has_is_taken_with_a_warning() -> None:
    """CNP-035: it matches nothing, and is no reason to close."""
    raw = changed("spec.ingress.0.protocols.2", {"destinationNamedPort": ""})
    decoded = decode_manifest(raw, ReadingOptions())
    assert decoded.item is not None
    assert [mistake.severity for mistake in decoded.mistakes] == ["warning"]


CLOSED = TierRule("Deny", None, None)


@pytest.mark.parametrize("action", ["Accept", "Deny", "Pass"])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("from.2", {}),
        ("from.2", {"services": {}}),
        ("from.2", {"pods": {"podSelector": {}}, "more": 1}),
        ("from.2", {"namespaces": {"matchExpressions": [{"key": "a", "operator": "notIn"}]}}),
        ("from.2", None),
        ("from", "all"),
        ("protocols.3", {"icmp": {}}),
        ("protocols.3", {"tcp": {"destinationPort": {"number": 80, "name": "x"}}}),
        ("more", 1),
    ],
    ids=str,
)
def test_a_rule_that_is_not_understood_closes_alone(action: str, path: str, value: object) -> None:
    """CNP-040 to CNP-042: an Accept matches nothing, a Deny or a Pass denies everything."""
    raw = changed(f"spec.ingress.0.{path}", value, changed("spec.ingress.0.action", action))
    raw["spec"]["ingress"].append({"action": "Pass", "from": [{"namespaces": {}}]})
    decoded = decode_live(raw)
    assert decoded.mistakes != ()
    policy = read(raw)
    assert policy.ingress is not None
    first, second = policy.ingress
    accept = TierRule("Accept", (), None, "from everywhere")
    assert first == (accept if action == "Accept" else TierRule("Deny", None, None, "from everywhere"))
    assert second.action == "Pass"
    assert policy.egress == read(GOOD).egress


@pytest.mark.parametrize("action", ["Log", None, 7])
def test_an_unknown_action_denies_everything(action: object) -> None:
    """CNP-045"""
    policy = read(changed("spec.egress.0.action", action))
    assert policy.egress == (CLOSED,)


@pytest.mark.parametrize("spec", [None, [], "a", {}, {"tier": "Admin"}])
def test_what_has_no_place_or_no_subject_has_no_effect(spec: object) -> None:
    """CNP-046, CNP-047"""
    decoded = decode_live({**GOOD, "spec": spec})
    assert isinstance(decoded.item, ClusterNetworkPolicy)
    assert decoded.item.subject is None
    assert decoded.refused


@pytest.mark.parametrize("rules", ["all", 7, {}], ids=str)
def test_rules_that_are_no_list_deny(rules: object) -> None:
    assert read(changed("spec.ingress", rules)).ingress == (CLOSED,)
