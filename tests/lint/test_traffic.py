"""Ports, blocks, DNS, half-open rules: what several policies and Services come to."""

from __future__ import annotations

import pytest

from tests.lint.linting import report, rules, to_api

DNS = "ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]"
TO_DB = "{to: [{podSelector: {matchLabels: {app: db}}}]}"


@pytest.mark.parametrize(
    ("egress", "found"),
    [
        ("[]", []),
        (f"[{TO_DB}]", ["NP201"]),
        (f"[{TO_DB}, {{{DNS}}}]", []),
        (f"[{TO_DB}, {{to: [{{namespaceSelector: {{}}}}]}}]", []),
        (f"[{TO_DB}, {{ports: [{{port: dns, protocol: UDP}}, {{port: dns-tcp}}]}}]", []),
        (f"[{TO_DB}, {{to: [{{ipBlock: {{cidr: 169.254.20.10/32}}}}]}}]", []),
        ("[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]", []),
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]", ["NP201"]),
        ("[{}]", []),
        ("[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}]", ["NP201"]),
    ],
)
def test_pods_that_may_send_need_names(egress: str, found: list[str]) -> None:
    text = to_api(egress, "egress")
    assert [f.rule for f in report(text).findings if f.rule == "NP201"] == found


def test_dns_by_another_policy_counts() -> None:
    everybody = f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: dns, namespace: shop}}
spec: {{podSelector: {{}}, policyTypes: [Egress], egress: [{{{DNS}}}]}}
"""
    assert rules(everybody, to_api(f"[{TO_DB}]", "egress")) == []


def test_dns_by_udp_alone_is_less() -> None:
    udp = "{ports: [{port: 53, protocol: UDP}]}"
    assert rules(to_api(f"[{TO_DB}, {udp}]", "egress")) == [("NP201", "warn")]


@pytest.mark.parametrize(
    ("port", "found"),
    [("80", ["NP105"]), ("9000", []), ("9100", []), ("8443", []), ("api", []), ("http", ["NP104"])],
)
def test_ports_are_those_of_the_pods(port: str, found: list[str]) -> None:
    text = to_api(f"[{{from: [{{podSelector: {{}}}}], ports: [{{port: {port}}}]}}]")
    assert [f.rule for f in report(text).findings] == found


def test_a_name_that_is_there_for_another_protocol_only() -> None:
    [found] = report(to_api("[{from: [{podSelector: {}}], ports: [{port: api, protocol: UDP}]}]")).findings
    assert found.rule == "NP104"
    assert found.suggestion is not None
    assert found.suggestion.text == "write protocol: TCP"


def test_for_egress_a_name_is_looked_up_on_the_peers() -> None:
    both = "{{to: [{{podSelector: {{matchLabels: {{app: web}}}}}}], ports: [{{port: {0}}}]}}, {{{1}}}"
    assert rules(to_api(f"[{both.format('http', DNS)}]", "egress")) == []
    assert rules(to_api(f"[{both.format('api', DNS)}]", "egress")) == [("NP104", "error")]


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("{cidr: 10.1.0.0/24}", ["NP107"]),
        ("{cidr: 10.1.0.0/24, except: [10.1.0.7/32]}", []),
        ("{cidr: 0.0.0.0/0}", ["NP003"]),  # the pod has an IPv6 address, too
        ("{cidr: 10.96.0.0/12}", ["NP107"]),
        ("{cidr: 192.0.2.0/24, except: [198.51.100.0/24]}", ["NP003"]),
        ("{cidr: 192.0.2.0/24, except: [192.0.2.0/24]}", ["NP003"]),
        ("{cidr: 192.0.2.0/24, except: [192.0.2.9/32, 192.0.2.9/32]}", ["NP003"]),
        ("{cidr: 010.0.2.0/24}", ["NP003"]),
    ],
)
def test_blocks(block: str, found: list[str]) -> None:
    text = to_api(f"[{{from: [{{ipBlock: {block}}}]}}]")
    assert [f.rule for f in report(text).findings] == found


def test_the_same_block_twice() -> None:
    text = to_api("[{from: [{ipBlock: {cidr: 192.0.2.0/24}}, {ipBlock: {cidr: 192.0.2.0/24}}]}]")
    [found] = report(text).findings
    assert (found.rule, found.path) == ("NP003", "spec.ingress[0].from[1]")


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("{}", ["NP204"]),
        ("{from: []}", ["NP204"]),
        ("{from: [], ports: [{port: api}]}", ["NP204"]),
        ("{ports: [{port: api}]}", []),
        ("{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}]}", []),
    ],
)
def test_who_lets_everybody_in(rule: str, found: list[str]) -> None:
    assert [f.rule for f in report(to_api(f"[{rule}]")).findings] == found


def test_half_a_permission_is_found_only_if_all_receivers_refuse() -> None:
    closed = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
"""
    one = to_api(f"[{TO_DB}, {{{DNS}}}]", "egress")
    assert rules(closed, one) == [("NP202", "note")]
    assert rules(closed, to_api(f"[{{to: [{{podSelector: {{}}}}]}}, {{{DNS}}}]", "egress")) == []
    assert rules(closed.replace("Ingress]}", "Ingress], ingress: [{ports: [{port: sql}]}]}"), one) == []


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ("[{port: 53}]", 1),
        ("[{port: 53, protocol: TCP}]", 1),
        ("[{port: 53, protocol: TCP}, {port: 53, protocol: UDP}]", 0),
        ("[{port: 53, protocol: TCP}, {protocol: UDP}]", 0),
        ("[{port: 123}]", 1),
        ("[{port: 123, protocol: TCP}]", 0),
        ("[{port: 80}]", 0),
        ("[{}]", 1),
        ("[{protocol: TCP}]", 0),
    ],
)
def test_ports_that_mostly_are_udp(ports: str, found: int) -> None:
    text = to_api(f"[{{from: [{{podSelector: {{}}}}], ports: {ports}}}]")
    assert [f.rule for f in report(text).findings].count("NP004") == found


@pytest.mark.parametrize(
    ("version", "kind", "level"),
    [
        ("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "error"),
        ("projectcalico.org/v3", "NetworkPolicy", "error"),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "error"),
        ("security.istio.io/v1", "AuthorizationPolicy", "note"),
        ("policy/v1", "PodDisruptionBudget", None),
    ],
)
def test_policies_of_other_engines(version: str, kind: str, level: str | None) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\n"
    assert rules(text) == ([] if level is None else [("NP401", level)])
