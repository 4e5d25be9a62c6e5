"""What a graph works out again where there are ClusterNetworkPolicies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.graph.changes import ObjectChange
from policyd.graph.graph import Graph
from policyd.kube.objects import KubeObject, NamedPort, Namespace, Node
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.cases.form import cluster_policy, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest
from tests.reliability.states import decoded
from tests.steps import NODE, after, follow, remote

HERE = [
    namespace("x", team="blue"),
    namespace("y", team="green"),
    pod("x/a", "10.0.0.1"),
    pod("x/b", "10.0.0.2"),
    pod("y/b", "10.0.1.1", node="n2", ports=[{"name": "web", "containerPort": 80}]),
]
GREEN: Manifest = {"namespaces": {"matchLabels": {"team": "green"}}}
SSH: Manifest = {"protocols": [{"tcp": {"destinationPort": {"number": 22}}}]}
WEB: Manifest = {"protocols": [{"destinationNamedPort": "web"}]}


def tier(name: str, *rules: Manifest, subject: Manifest | None = None, **spec: object) -> Manifest:
    """A policy of the tier Admin for everybody, unless said otherwise."""
    side = "egress" if any("to" in rule for rule in rules) else "ingress"
    whole = {"priority": 10, "subject": subject or {"namespaces": {}}, side: list(rules)}
    return cluster_policy(name, **{**whole, **spec})


DENY = tier("deny", {"action": "Deny", "from": [GREEN], **SSH})


def followed(
    world: Sequence[Manifest],
    *changes: ObjectChange,
    missing: MissingNamespaces = MissingNamespaces.UNKNOWN,
) -> int:
    """How many isolations a change makes again, which is followed."""
    state = replace(decoded([*HERE, *world]), missing_namespaces=missing)
    step, units = follow(state, *changes)
    assert step is not None
    assert (step.changes is None) >= (units > 0)
    return units


def new_pod(state: ClusterState, **more: object) -> ObjectChange:
    """A pod of another node comes."""
    return ObjectChange("y/new", None, replace(remote(state, "y/b"), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("action", ["Accept", "Deny", "Pass"])
@pytest.mark.parametrize("of", ["Admin", "Baseline"])
def test_a_pod_that_tiers_name_is_an_element(action: str, of: str) -> None:
    allowed = ingress("x", "a", {"from": [namespaces(team="green")]})
    other = tier("other", {"action": "Deny", "from": [GREEN]}, priority=11)
    rule = tier("one", {"action": action, "from": [GREEN], **SSH}, tier=of)
    state = decoded([*HERE, allowed, rule, other])
    assert followed([allowed, rule, other], new_pod(state)) == 0


def test_all_namespaces_are_also_those_of_which_nothing_is_known() -> None:
    """CNP-020."""
    everybody = tier("all", {"action": "Deny", "from": [{"namespaces": {}}], **SSH})
    new = new_pod(decoded(HERE), namespace="z")
    for missing in MissingNamespaces:
        assert followed([everybody], new, missing=missing) == 0


def test_a_namespace_with_other_labels_has_other_policies() -> None:
    subject = {"namespaces": {"matchLabels": {"team": "red"}}}
    rule = tier("red", {"action": "Deny", "from": [GREEN]}, subject=subject)
    before = decoded(HERE).namespaces["x"]
    red = replace(before, labels=(("team", "red"),))
    assert followed([rule], ObjectChange("x", before, red)) == 1
    assert followed([rule, namespace("x", team="red")], ObjectChange("x", red, before)) == 0


def test_nodes_are_peers_with_all_their_addresses() -> None:
    """CNP-025."""
    rule = tier("nodes", {"action": "Deny", "to": [{"nodes": {"matchLabels": {"zone": "east"}}}]})
    there = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}, "status": {"addresses": []}}
    [before] = [each for each in decoded([there]).objects() if isinstance(each, Node)]
    east = replace(before, labels=(("zone", "east"),), addresses=("192.0.2.2",))
    assert followed([rule, there], ObjectChange("n2", before, east)) == 1
    assert followed([rule, DENY, there], ObjectChange("n2", before, None)) == 1


def test_a_port_of_any_protocol_may_have_the_name() -> None:
    """CNP-032."""
    rule = tier("web", {"action": "Deny", "to": [GREEN], **WEB})
    state = decoded([*HERE, rule])
    assert followed([rule], new_pod(state)) == 0
    assert followed([rule], new_pod(state, ports=(NamedPort("web", "UDP", 53),))) == 1


@pytest.mark.parametrize("action", ["Accept", "Deny", "Pass"])
def test_an_address_that_several_claim(action: str) -> None:
    """NP-166: a Deny means it where it selects any of them, an Accept where it selects all."""
    allowed = ingress("x", "a", {"from": [namespaces(team="green")]})
    rules = [{"action": action, "from": [GREEN], **SSH}, {"action": "Deny", "from": [GREEN]}]
    world = [allowed, tier("one", *rules)]
    state = decoded([*HERE, *world])
    there = state.pods["y/b"]
    rival = replace(there, namespace="x", name="rival", uid="rival")
    come, another = ObjectChange("x/rival", None, rival), new_pod(state)
    assert followed(world, come) > 0
    disputed = after(state, come)
    for changes in ([another], [ObjectChange("x/rival", rival, None)], [ObjectChange("y/b", there, None)]):
        step, _ = follow(disputed, *changes)
        assert step is not None


def test_a_pass_that_means_nobody_any_more_is_in_no_note() -> None:
    """NP-166: where claims are disputed, a Deny for those whom it may mean stands behind it."""
    rivals = [pod(f"x/{name}", "10.0.9.9", node="n2") for name in ("c", "d")]
    state = decoded([*HERE, *rivals, tier("one", {"action": "Pass", "from": [GREEN], **SSH})])
    step, _ = follow(state, ObjectChange("y/b", state.pods["y/b"], None))
    assert step is not None


def test_on_a_bridge_a_pod_is_asked_what_it_sends_to_whomever() -> None:
    """NP-161: from an address that is nobody's, where a Deny may mean one of those it reaches."""
    links = Attachments({"x/a": Attachment("veth1", "cni0")}, bridges=("cni0",), ports=("veth1",))
    rule = tier("one", {"action": "Deny", "to": [GREEN], **SSH})
    world = [*HERE, pod("x/a", "10.0.0.1", "fd00::1"), rule]
    state = replace(decoded(world), attachments=links)
    [new] = objects(pod("y/new", "10.0.1.2", "fd00::2", node="n2"))
    change = ObjectChange("y/new", None, new)
    step = Graph(build(state, NODE, Options()), state, NODE).change([change])
    built = build(replace(after(state, change), attachments=links), NODE, Options())
    assert step is not None
    assert step.ruleset.table == built.table


def objects(*manifests: Manifest) -> list[KubeObject]:
    return list(decoded(manifests).objects())


def test_a_policy_of_a_tier_comes_changes_and_goes() -> None:
    """Only what it selects is made again; where two tie, that is said (CNP-012)."""
    only_a = {"pods": {"podSelector": {"matchLabels": {"pod": "a"}}}}
    [first] = objects(tier("first", {"action": "Pass", "from": [GREEN]}, subject=only_a))
    [later] = objects(tier("first", {"action": "Pass", "from": [GREEN]}, subject=only_a, priority=20))
    assert followed([DENY], ObjectChange("first", None, first)) == 1
    world = [DENY, tier("first", {"action": "Pass", "from": [GREEN]}, subject=only_a)]
    assert followed(world, ObjectChange("first", decoded(world).cluster_policies["first"], later)) == 1
    # The pod falls back to what the other has.
    assert followed(world, ObjectChange("first", decoded(world).cluster_policies["first"], None)) == 0


def test_who_only_has_the_other_family_takes_it_along() -> None:
    """Pods of several namespaces share an isolation, and are not all asked when one of them goes."""
    six = pod("y/six", "fd00::1")
    state = decoded([*HERE, DENY, six])
    step, _ = follow(state, ObjectChange("y/six", state.pods["y/six"], None))
    assert step is not None


def test_what_tenants_may_cost_is_known_behind_tiers() -> None:
    """What a tier denies is in no set or chain of theirs, and counts as if it were."""
    green = namespaces(team="green")
    whom = [*({**green, **pods(pod=f"p{n}")} for n in range(1, 25)), {**green, **pods(app="new")}]
    each = [{"from": [peer], "ports": [{"port": n}]} for n, peer in enumerate(whom, start=1)]
    there = [pod(f"y/p{n}", f"10.0.3.{n}", node="n2") for n in range(1, 25)]
    closed = tier("closed", {"action": "Deny", "from": [{"pods": peer} for peer in whom]})
    for rules, budget in (([{"from": [green]}], 300), (each, 860)):
        state = decoded([*HERE, *there, ingress("x", "a", *rules), closed])
        options = Options(namespace_budget=budget, policy_budget=budget)
        assert stops_before_the_budget(state, options) == "policies may be over their budget"


def stops_before_the_budget(state: ClusterState, options: Options) -> str:
    """Pods come until a graph cannot tell, and why."""
    graph = Graph(build(state, NODE, options), state, NODE)
    like = remote(state, "y/b")
    for number in range(1, 25):
        labels = (("app", "new"), ("pod", f"p{number}"))
        new = replace(like, name=f"n{number}", uid=f"n{number}", labels=labels, v4=0x0A000200 + number)
        change = ObjectChange(f"y/n{number}", None, new)
        state = after(state, change)
        step = graph.change([change])
        over = build(state, NODE, options).over
        if step is None:
            break
        assert not over, number
    return graph.reason


def test_a_namespace_that_says_nothing_new_asks_nobody() -> None:
    state = decoded([*HERE, DENY])
    before = state.namespaces["x"]
    graph = Graph(build(state, NODE, Options()), state, NODE)
    graph.counts.endpoints = 0
    assert graph.change([ObjectChange("x", before, Namespace("x", (("team", "other"),)))]) is not None
    assert graph.counts.endpoints == 0
