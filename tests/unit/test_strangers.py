"""What is open to whoever comes, tier by tier: to whom, at which ports, by which rules."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.ask.exposure import Exposure, exposure
from policyd.ask.ports import print_ports
from tests.asking import world_of
from tests.cases.form import block, cluster_policy, ingress, namespace, namespaces, pod, pods, policy
from tests.oracle import Manifest

ALL: Manifest = {"namespaces": {}}
BLUE: Manifest = {"namespaces": {"matchLabels": {"team": "blue"}}}
HTTP: Manifest = {"tcp": {"destinationPort": {"number": 80}}}
NOBODY = policy("x", name="nobody", policyTypes=["Ingress"])
ANY_HTTP = ingress("x", None, {"from": [namespaces()], "ports": [{"port": 80}]}, name="http")
ANY_POD = ingress("x", None, {"from": [namespaces()]}, name="pods")


def admin(action: str, *peers: Manifest, priority: int = 1, **more: Any) -> Manifest:
    rule = {"action": action, "from": list(peers), **more}
    return cluster_policy(f"{action.lower()}-{priority}", priority=priority, ingress=[rule])


def baseline(action: str, *peers: Manifest, **more: Any) -> Manifest:
    found = admin(action, *peers, **more)
    found["spec"]["tier"], found["metadata"]["name"] = "Baseline", f"baseline-{action.lower()}"
    return found


def asked(*policies: Manifest) -> Exposure:
    return exposure(world_of([namespace("x"), pod("x/a", "10.0.0.1"), *policies]))


CASES: dict[str, tuple[tuple[Manifest, ...], dict[str, str]]] = {
    "nothing": ((), {"everybody": "all"}),
    "admin denies pods, and cannot mean addresses (CNP-053)": ((admin("Deny", ALL),), {"addresses": "all"}),
    "admin denies some, who may come": ((admin("Deny", BLUE),), {"addresses": "all"}),
    "admin accepts what a policy denies (CNP-004)": ((NOBODY, admin("Accept", ALL)), {"pods": "all"}),
    "admin accepts some": ((NOBODY, admin("Accept", BLUE)), {}),
    "the first decides (CNP-011)": (
        (admin("Deny", ALL), admin("Accept", ALL, priority=2)),
        {"addresses": "all"},
    ),
    "accepted before it is denied": (
        (admin("Accept", ALL), admin("Deny", BLUE, priority=2)),
        {"pods": "all", "addresses": "all"},
    ),
    "a pass leaves the tier (CNP-006)": (
        (NOBODY, admin("Pass", ALL), admin("Accept", ALL, priority=2)),
        {},
    ),
    "some may pass to a policy that denies": (
        (NOBODY, admin("Pass", BLUE), admin("Accept", ALL, priority=2)),
        {},
    ),
    "passed to a policy that allows": (
        (ANY_POD, admin("Pass", ALL), admin("Deny", ALL, priority=2)),
        {"pods": "all"},
    ),
    "baseline denies who is not isolated": ((baseline("Deny", ALL),), {"addresses": "all"}),
    "a policy is final before baseline (CNP-007)": ((ANY_POD, baseline("Deny", ALL)), {"pods": "all"}),
    "baseline accepts nothing that a policy denies (CNP-008)": ((NOBODY, baseline("Accept", ALL)), {}),
    "a pass in baseline is open (CNP-010)": (
        (baseline("Pass", ALL), baseline("Deny", ALL, priority=2)),
        {"pods": "all", "addresses": "all"},
    ),
    "no selector of namespaces is all (CNP-020)": (
        (NOBODY, admin("Accept", {"pods": {"podSelector": {}}})),
        {"pods": "all"},
    ),
    "the same namespace is not all pods": ((ingress("x", None, {"from": [pods()]}),), {}),
    "addresses of a family": ((ingress("x", None, {"from": [block("0.0.0.0/0")]}),), {"addresses": "all"}),
    "some addresses": ((ingress("x", None, {"from": [block("0.0.0.0/0", "10.0.0.0/8")]}),), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_tiers_leave_open(name: str) -> None:
    policies, expected = CASES[name]
    assert {each.to: print_ports(each.ports) for each in asked(*policies).exposed} == expected


def test_ports_are_open_by_the_tier_that_decides_them() -> None:
    found = asked(NOBODY, admin("Accept", ALL, protocols=[HTTP]))
    [opened] = found.exposed
    assert (opened.to, print_ports(opened.ports), opened.unruled) == ("pods", "80", False)
    assert [(each.policy, each.rule) for each in opened.rules] == [("accept-1", "ingress[0]")]
    assert found.isolated == ()


def test_what_is_open_with_a_rule_and_without_says_so() -> None:
    accepted = admin("Accept", ALL, protocols=[HTTP])
    [opened] = [
        each for each in asked(accepted, admin("Deny", BLUE, priority=2)).exposed if each.to == "pods"
    ]
    assert (print_ports(opened.ports), opened.unruled) == ("80", False)
    [opened] = [each for each in asked(ANY_HTTP, accepted).exposed if each.to == "pods"]
    assert {each.policy for each in opened.rules} == {"accept-1", "x/http"}
    # Whoever is not blue may use 443, too; but somebody blue may come.
    denied = admin("Deny", BLUE, priority=2, protocols=[{"tcp": {"destinationPort": {"number": 443}}}])
    opened = asked(ANY_POD, accepted, denied).exposed[0]
    assert (opened.to, print_ports(opened.ports)) == ("pods", "all but 443")
    assert {each.policy for each in opened.rules} == {"accept-1", "x/pods"}


def test_a_cluster_policy_isolates_nobody() -> None:
    spec = {"action": "Accept", "to": [ALL]}
    found = asked(cluster_policy("both", ingress=[{"action": "Accept", "from": [ALL]}], egress=[spec]))
    assert (found.isolated, found.unselected) == ((), ())
