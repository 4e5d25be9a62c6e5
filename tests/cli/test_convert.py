"""`policyd convert`: policies of v1alpha1 become such as mean the same, or errors with their place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given

from policyd.kube.convert import ADMIN, BASELINE, OLD, convert, manifests
from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.encode import encode
from policyd.kube.objects import ClusterNetworkPolicy
from policyd.kube.reading import Reading, ReadingOptions
from tests.cli.calls import Call
from tests.oracle import Manifest
from tests.strategies.clusters import Shape
from tests.strategies.worlds import worlds

ADMIN_POLICY = """\
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: teams, labels: {a: b}}
spec:
  priority: 30
  subject: {namespaces: {matchLabels: {team: blue}}}
  ingress:
  - name: own
    action: Allow
    from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]
    ports:
    - portNumber: {port: 80}
    - portNumber: {protocol: UDP, port: 53}
    - portRange: {protocol: SCTP, start: 9000, end: 9010}
    - portRange: {start: 7, end: 7}
    - namedPort: http
  - action: Pass
    from: [{namespaces: {}}]
  egress:
  - action: Deny
    to: [{networks: [10.0.0.1/8]}, {nodes: {}}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec:
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
"""


def written(call: Call, text: str, *flags: str) -> list[Any]:
    result = call("convert", "-f", "-", *flags, stdin=text)
    assert (result.code, result.err) == (0, "")
    return list(yaml.safe_load_all(result.out))


def test_policies_of_both_kinds_are_converted(call: Call) -> None:
    admin, baseline = written(call, ADMIN_POLICY)
    assert admin["metadata"] == {"name": "teams", "labels": {"a": "b"}}
    assert (admin["spec"]["tier"], admin["spec"]["priority"]) == ("Admin", 30)
    own, passed = admin["spec"]["ingress"]
    assert own["protocols"] == [
        {"tcp": {"destinationPort": {"number": 80}}},
        {"udp": {"destinationPort": {"number": 53}}},
        {"sctp": {"destinationPort": {"range": {"start": 9000, "end": 9010}}}},
        {"tcp": {"destinationPort": {"number": 7}}},
        {"destinationNamedPort": "http"},
    ]
    assert (own["name"], own["action"], passed["action"]) == ("own", "Accept", "Pass")
    assert admin["spec"]["egress"] == [
        {"action": "Deny", "to": [{"networks": ["10.0.0.0/8"]}, {"nodes": {}}]}
    ]
    assert (baseline["spec"]["tier"], baseline["spec"]["priority"]) == ("Baseline", 10)


def test_the_output_is_json_if_wanted_and_baseline_has_the_priority_that_is_asked_for(call: Call) -> None:
    result = call("convert", "-f", "-", "-o", "json", "--baseline-priority", "7", stdin=ADMIN_POLICY)
    items = json.loads(result.out)["items"]
    assert [item["spec"]["priority"] for item in items] == [30, 7]


def test_the_shape_of_before_is_unwrapped(call: Call) -> None:
    text = ADMIN_POLICY.replace(
        "from: [{namespaces: {}}]",
        "from: [{namespaces: {namespaceSelector: {matchLabels: {a: b}}}},"
        " {pods: {namespaces: {namespaceSelector: {}}, podSelector: {}}}]",
    )
    admin, _ = written(call, text)
    assert admin["spec"]["ingress"][1]["from"] == [
        {"namespaces": {"matchLabels": {"a": "b"}}},
        {"pods": {"podSelector": {}, "namespaceSelector": {}}},
    ]


def test_long_lists_become_several_rules_and_many_rules_several_policies(call: Call) -> None:
    policy = next(yaml.safe_load_all(ADMIN_POLICY))
    rule = policy["spec"]["ingress"][0]
    rule["ports"] = [{"portNumber": {"port": port}} for port in range(1, 61)]
    rule["from"] = [{"namespaces": {"matchLabels": {"n": str(n)}}} for n in range(30)]
    policy["spec"]["ingress"] = [rule] * 5
    first, second = written(call, yaml.safe_dump(policy))
    assert [each["metadata"]["name"] for each in (first, second)] == ["teams", "teams-2"]
    assert [each["spec"]["priority"] for each in (first, second)] == [30, 31]
    rules = [*first["spec"]["ingress"], *second["spec"]["ingress"]]
    assert len(rules) == 5 * 2 * 3
    assert "egress" not in second["spec"]
    assert sum(len(r["protocols"]) * len(r["from"]) for r in rules) == 5 * 60 * 30
    other = {**copy.deepcopy(policy), "metadata": {"name": "next"}}
    other["spec"] = {**policy["spec"], "priority": 31, "ingress": [policy["spec"]["ingress"][0]]}
    result = call("convert", "-f", "-", stdin=yaml.safe_dump_all([policy, other]))
    assert (result.code, result.out) == (3, "")
    assert "priorities 30 to 31 are not all free" in result.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("namespaces: {}}]\n  egress", "namespaces: {sameLabels: [team]}}]\n  egress", ":18:"),
        ("{start: 7, end: 7}", "{start: 8, end: 7}", ":15:"),
        ("{port: 80}", "{port: 0}", ":12:"),
        ("action: Pass", "action: Skip", ":17:"),
        ("name: own", "names: own", "names"),
        ("priority: 30", "priority: 1001", "priority"),
        ("10.0.0.1/8", "10.0.0.1", ":21:"),
        ("{nodes: {}}", "{services: {}}", ":21:"),
        ("subject: {namespaces: {matchLabels: {team: blue}}}", "subject: {}", ":6:"),
    ],
)
def test_what_cannot_be_said_is_an_error_with_its_place(call: Call, old: str, new: str, said: str) -> None:
    assert ADMIN_POLICY.count(old) >= 1
    result = call("convert", "-f", "-", stdin=ADMIN_POLICY.replace(old, new, 1))
    assert (result.code, result.out) == (3, "")
    assert said in result.err


@pytest.mark.parametrize(
    "text", ["", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", "a: [", "- 7"]
)
def test_nothing_to_convert_is_a_mistake(call: Call, text: str) -> None:
    result = call("convert", "-f", "-", stdin=text)
    assert (result.code, result.out) == (3, "")
    assert "Traceback" not in result.err


def as_before(manifest: Manifest) -> Manifest:
    """The policy as v1alpha1 has it."""
    spec = copy.deepcopy(manifest["spec"])
    tier = spec.pop("tier")
    if tier == "Baseline":
        spec.pop("priority")
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction, ()):
            rule["action"] = {"Accept": "Allow"}.get(rule["action"], rule["action"])
            if "protocols" in rule:
                rule["ports"] = [_port_before(entry) for entry in rule.pop("protocols")]
    kind = ADMIN if tier == "Admin" else BASELINE
    return {"apiVersion": OLD, "kind": kind, "metadata": manifest["metadata"], "spec": spec}


def _port_before(entry: Manifest) -> Manifest:
    ((key, body),) = entry.items()
    if key == "destinationNamedPort":
        return {"namedPort": body}
    port = body["destinationPort"]
    if "number" in port:
        return {"portNumber": {"protocol": key.upper(), "port": port["number"]}}
    return {"portRange": {"protocol": key.upper(), **port["range"]}}


@given(worlds(Shape(policies=0, least_policies=0, pods=3, tiers=4)))
def test_what_is_converted_says_the_same(world: list[Manifest]) -> None:
    """There and back, each policy is what it was."""
    for manifest in (m for m in world if m["kind"] == "ClusterNetworkPolicy"):
        before = decode_live(manifest).item
        assert isinstance(before, ClusterNetworkPolicy)
        reading = Reading()
        converted = convert(as_before(manifest), manifest["spec"]["priority"], reading)
        assert converted is not None, reading.mistakes
        [again] = manifests(converted, converted.name, [converted.priority])
        decoded = decode_manifest(again, ReadingOptions())
        assert decoded.item is not None
        assert encode(decoded.item) == encode(before)
