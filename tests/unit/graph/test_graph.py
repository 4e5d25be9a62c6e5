"""What a graph works out again, and what a change costs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.graph.changes import ObjectChange, in_turn
from policyd.graph.graph import Graph
from policyd.kube.objects import ClusterNetworkPolicy, NamedPort, Namespace, NetworkPolicy, Pod
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.cases.form import block, cluster_policy, egress, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest
from tests.reliability.states import decoded
from tests.steps import NODE, after, follow, graph_of, remote
from tests.support.widget import Widget

HERE = [namespace("x"), namespace("y", team="green"), pod("x/a", "10.0.0.1")]


def elements_suffice(*world: Manifest, like: str, **more: object) -> bool:
    """Whether another pod like one of this world changes elements, and no isolation is made again."""
    state = decoded([*HERE, *world])
    new = replace(remote(state, like), **more)  # type: ignore[arg-type]
    step, units = follow(state, ObjectChange("y/new", None, new))
    assert step is not None
    assert (step.changes is None) == (units > 0)
    return units == 0


WEB = egress("x", "a", {"to": [namespaces(team="green")], "ports": [{"port": "web"}]})
EXPOSING = pod("y/b", "10.0.1.1", node="n2", ports=[{"name": "web", "containerPort": 80}])


def test_a_number_that_no_pod_had_behind_a_name_needs_a_rule() -> None:
    """NP-051: rules are made for the numbers that there are."""
    assert elements_suffice(WEB, EXPOSING, like="y/b")
    assert not elements_suffice(WEB, EXPOSING, like="y/b", ports=(NamedPort("web", "TCP", 81),))
    assert elements_suffice(WEB, EXPOSING, like="y/b", ports=(NamedPort("other", "TCP", 81),))


def test_a_block_gives_the_addresses_of_who_exposes_a_port() -> None:
    """NP-056: these are ranges, and no hosts."""
    rule = egress("x", "a", {"to": [block("10.0.0.0/8")], "ports": [{"port": "web"}]})
    assert not elements_suffice(rule, EXPOSING, like="y/b")
    assert elements_suffice(rule, EXPOSING, like="y/b", ports=())


def many(count: int) -> list[Manifest]:
    return [pod(f"y/p{n}", f"10.0.{1 + n // 200}.{n % 200}", node="n2") for n in range(count)]


@pytest.mark.parametrize("count", [170, 171, 340, 341])
def test_a_set_is_as_large_as_for_a_compilation(count: int) -> None:
    """It keeps its name, whoever comes, and so do chains that ask it."""
    rule = ingress("x", "a", {"from": [namespaces(team="green")]})
    assert elements_suffice(rule, *many(count), like="y/p0")


@pytest.mark.parametrize(
    ("count", "more", "expected"), [(14, 14, (True, 0)), (17, 14, (True, 1)), (17, 17, (False, 1))]
)
def test_large_sets_of_ports_may_share_chains(count: int, more: int, expected: tuple[bool, int]) -> None:
    """What shares with what depends on all sets of ports that are in use, and on how hosts are numbered."""
    rules = [
        {"from": [{**pods(pod="b"), **namespaces()}], "ports": [{"port": 2 * n} for n in range(1, count)]},
        {"from": [{**pods(pod="c"), **namespaces()}], "ports": [{"port": 3 * n} for n in range(1, more)]},
    ]
    state = decoded([*HERE, ingress("x", "a", *rules), EXPOSING, pod("y/c", "10.0.1.2", node="n2")])
    step, units = follow(state, ObjectChange("y/new", None, remote(state, "y/b")))
    assert ((step is not None), units) == expected


def test_a_verdict_of_which_there_is_no_chain_has_to_be_compiled() -> None:
    rules = [
        {"from": [namespaces(team="green")], "ports": [{"port": 1}]},
        {"from": [{**pods(pod="c"), **namespaces()}], "ports": [{"port": 2}]},
    ]
    world = [ingress("x", "a", *rules), EXPOSING]
    assert elements_suffice(*world, like="y/b")
    assert not elements_suffice(*world, like="y/b", labels=(("pod", "c"),))
    both = pod("y/c", "10.0.1.2", node="n2")
    assert elements_suffice(*world, both, like="y/c")
    state = decoded([*HERE, *world, both])
    step, _ = follow(state, ObjectChange("y/c", state.pods["y/c"], None))
    assert step is not None
    assert step.changes is None, "the chain goes with the last who needs it"


def test_a_new_pod_of_one_family_is_counted_in_both() -> None:
    """An isolation that is made again asks in each family for all that a rule selects."""
    rule = ingress("x", "a", {"from": [{**pods(pod="new"), **namespaces()}], "ports": [{"port": 1}]})
    there = [pod(f"y/p{n}", f"10.0.1.{n}", node="n2") for n in range(1, 200)]
    state = decoded([namespace("x"), namespace("y"), pod("x/a", "10.0.0.1", "fd00::1"), rule, *there])
    [(key, policy)] = state.policies.items()
    wider = replace(policy, ingress=tuple(replace(each, ports=None) for each in policy.ingress or ()))
    new = replace(remote(state, "y/p1"), labels=(("pod", "new"),))
    step, _ = follow(state, ObjectChange("y/new", None, new), ObjectChange(key, policy, wider))
    assert step is not None


@pytest.mark.parametrize("missing", list(MissingNamespaces))
def test_a_pod_that_goes_with_its_namespace_leaves_nothing(missing: MissingNamespaces) -> None:
    """NP-048: by whom it was selected is asked with the labels that its namespace had then."""
    rule = ingress("x", "a", {"from": [namespaces(team="green")]})
    named = ingress("x", "a", {"from": [namespaces(**{"kubernetes.io/metadata.name": "z"})]}, name="named")
    world = [*HERE, rule, named, pod("y/b", "10.0.1.1", node="n2"), pod("z/c", "10.0.1.2", node="n2")]
    state = replace(decoded(world), missing_namespaces=missing)
    gone = [ObjectChange("y", state.namespaces["y"], None), ObjectChange("y/b", state.pods["y/b"], None)]
    for changes in (gone, gone[::-1], [ObjectChange("z/c", state.pods["z/c"], None)]):
        step, _ = follow(state, *changes)
        assert step is not None


def test_a_graph_that_could_not_follow_is_of_no_use_any_more() -> None:
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    options = Options(namespace_budget=50, policy_budget=50)
    graph = Graph(build(state, NODE, options), state, NODE)
    new = ObjectChange("y/new", None, remote(state, "y/b"))
    assert graph.change([new]) is None
    assert graph.change([]) is None


def test_policies_that_come_near_their_budget_are_measured() -> None:
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    change = ObjectChange("y/new", None, remote(state, "y/b"))
    followed = {
        budget: Graph(build(state, NODE, options), state, NODE).change([change]) is not None
        for budget in (50, 10_000)
        for options in (Options(namespace_budget=budget, policy_budget=budget),)
    }
    assert followed == {50: False, 10_000: True}


def test_what_is_over_its_budget_is_found_out_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a tenant's policy would take as long as he likes."""
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    edited = decoded(
        [
            ingress(
                "x", "a", *({"from": [block(f"10.{n}.0.0/16")], "ports": [{"port": n}]} for n in range(1, 99))
            )
        ]
    )
    [(key, policy)] = edited.policies.items()
    options = Options(namespace_budget=500, policy_budget=500)
    graph = Graph(build(state, NODE, options), state, NODE)
    monkeypatch.setattr("policyd.graph.units.judge", None)
    assert graph.change([ObjectChange(key, state.policies[key], policy)]) is None
    assert "budget" in graph.reason


def test_on_a_bridge_a_new_pod_is_judged_as_a_sender() -> None:
    """NP-161: by isolations of which no peer has changed but him."""
    links = Attachments(
        {"x/a": Attachment("veth1", "cni0"), "x/b": Attachment("veth2", "cni0")},
        bridges=("cni0",),
        ports=("veth1", "veth2"),
    )
    state = replace(decoded([*HERE, ingress("x", "a", {"from": [pods(pod="b")]})]), attachments=links)
    new = replace(state.pods["x/a"], name="b", uid="b", labels=(("pod", "b"),), v4=0x0A000009)
    change = ObjectChange("x/b", None, new)
    step = graph_of(state).change([change])
    assert step is not None
    assert (
        step.ruleset.table == build(replace(after(state, change), attachments=links), NODE, Options()).table
    )


def test_what_nobody_knows_the_meaning_of_is_not_followed() -> None:
    state = decoded([*HERE, EXPOSING, WEB])
    widget = ObjectChange("w", None, Widget("w", 1))
    assert graph_of(state).change([widget]) is None


@pytest.mark.parametrize(("few", "made"), [(0, 1), (1, 0)])
def test_a_namespace_with_other_labels_and_many_pods_makes_isolations_again(
    few: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pods of one with few are counted one by one."""
    monkeypatch.setattr("policyd.graph.graph._FEW", few)
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    step, units = follow(state, ObjectChange("y", state.namespaces["y"], Namespace("y", ())))
    assert step is not None
    assert step.ruleset.table != step.since.table
    assert units == made


def test_isolations_that_a_change_does_not_concern_stay_as_they_are() -> None:
    """Only those are made again whose policies, pods or peers are others."""
    mine = ingress("x", "a", {"from": [namespaces(team="green")]}, name="mine")
    others = [
        pod("x/o", "10.0.0.2"),
        ingress("x", "o", {"from": [pods(pod="b")]}, name="others"),
    ]
    state = decoded([*HERE, EXPOSING, mine, *others])
    policy, space = state.policies["x/mine"], state.namespaces["y"]
    local = state.pods["x/a"]
    another = replace(local, name="a2", uid="a2", v4=0x0A000003)
    edited = replace(policy, ingress=(*(policy.ingress or ()), *(policy.ingress or ())))
    costs = {
        "policy edited": follow(state, ObjectChange("x/mine", policy, edited))[1],
        "policy deleted": follow(state, ObjectChange("x/mine", policy, None))[1],
        "pod like another": follow(state, ObjectChange("x/a2", None, another))[1],
        "pod gone": follow(state, ObjectChange("x/a", local, None))[1],
        "other labels, other policies": follow(
            state, ObjectChange("x/a", local, replace(local, labels=(("pod", "o"),)))
        )[1],
        "namespace with other labels": follow(state, ObjectChange("y", space, Namespace("y", ())))[1],
        "policy elsewhere": follow(
            state, ObjectChange("y/q", None, replace(policy, namespace="y", name="q"))
        )[1],
    }
    assert costs == {
        "policy edited": 1,
        "policy deleted": 0,
        "pod like another": 0,
        "pod gone": 0,
        "other labels, other policies": 0,
        "namespace with other labels": 0,
        "policy elsewhere": 0,
    }


def tier(name: str, priority: int, *rules: Manifest, of: str = "Admin", side: str = "ingress") -> Manifest:
    return cluster_policy(name, tier=of, priority=priority, **{side: list(rules)})


def teams(action: str, team: str, side: str = "from", **more: object) -> Manifest:
    return {"action": action, side: [{"namespaces": {"matchLabels": {"team": team}}}], **more}


#: Of every tier and action, about few pods each; and a name of a port.
TIERS = [
    tier("deny", 1, teams("Deny", "t3", protocols=[{"tcp": {"destinationPort": {"number": 22}}}])),
    tier("pass", 2, teams("Pass", "t4"), teams("Accept", "t5")),
    tier(
        "named", 3, teams("Deny", "green", "to", protocols=[{"destinationNamedPort": "web"}]), side="egress"
    ),
    tier("behind", 4, teams("Deny", "t6", "to"), of="Baseline", side="egress"),
]


def large(count: int, *more_here: Manifest) -> ClusterState:
    """A cluster of so many pods, with a tenth as many policies; what is on the node is always the same."""
    base = decoded(
        [
            *HERE,
            *more_here,
            EXPOSING,
            WEB,
            *(
                ingress("x", "a", {"from": [namespaces(team=f"t{n}"), pods(app=f"a{n}")]}, name=f"p{n}")
                for n in range(8)
            ),
        ]
    )
    like, rule = base.pods["y/b"], base.policies["x/p0"]
    others = [Namespace(f"z{n}", (("team", f"t{n}"),)) for n in range(50)]
    more: list[Pod | NetworkPolicy] = [
        replace(
            like,
            namespace=f"z{n % 50}",
            name=f"p{n}",
            labels=(("app", f"a{n % 90}"),),
            v4=0x0A100000 + n,
            ports=(),
        )
        for n in range(count)
    ]
    more.extend(replace(rule, namespace=f"z{n % 50}", name=f"q{n}") for n in range(count // 10))
    return ClusterState.of([*base.objects(), *others, *more])


def costs(state: ClusterState) -> list[tuple[int, int, int, int]]:
    """The selectors, elements, isolations and endpoints that events take, one after another."""
    graph = graph_of(state)
    old, local = remote(state, "y/b"), state.pods["x/a"]
    flipped = replace(old, labels=(("app", "a1"),))
    policy, space = state.policies["x/p3"], state.namespaces["y"]
    edited = replace(policy, ingress=policy.ingress * 2 if policy.ingress else ())
    another = replace(local, name="new", uid="new", v4=0x0A00FFFE)
    relabelled = replace(another, labels=(("app", "new"),))
    of_tiers: list[tuple[str, ClusterNetworkPolicy | None, ClusterNetworkPolicy | None]] = []
    if there := state.cluster_policies.get("deny"):
        of_tiers = [
            ("new", None, replace(there, name="new", tier="Baseline")),
            ("deny", there, replace(there, ingress=(*(there.ingress or ()), *(there.ingress or ())))),
            ("deny", replace(there, ingress=(*(there.ingress or ()), *(there.ingress or ()))), None),
        ]
    found = []
    for key, was, is_ in (
        ("y/new", None, old),
        ("y/new", old, flipped),
        ("y/new", flipped, None),
        ("z2/new", None, replace(old, namespace="z2", labels=(("app", "a3"),))),
        ("x/p3", policy, edited),
        ("x/p3", edited, None),
        ("x/p3", None, policy),
        ("x/new", None, another),
        ("x/new", another, relabelled),
        ("x/new", relabelled, None),
        ("y", space, replace(space, labels=(("team", "red"),))),
        ("z3/other", None, replace(policy, namespace="z3", name="other")),
        *of_tiers,
    ):
        graph.counts.selectors = graph.counts.elements = graph.counts.units = graph.counts.endpoints = 0
        assert graph.change([ObjectChange(key, was, is_)]) is not None, graph.reason
        counts = graph.counts
        found.append((counts.selectors, counts.elements, counts.units, counts.endpoints))
    return found


def test_a_change_costs_what_it_changes_however_large_the_cluster_is() -> None:
    small, other = costs(large(1_000)), costs(large(100_000))
    assert small == other
    hold_to_little(small)


def test_so_it_does_with_tiers() -> None:
    small, other = costs(large(1_000, *TIERS)), costs(large(100_000, *TIERS))
    assert small == other
    hold_to_little(small)


def hold_to_little(small: list[tuple[int, int, int, int]]) -> None:
    assert sum(elements for _, elements, _, _ in small) > 0
    assert max(selectors for selectors, _, _, _ in small) < 200
    assert max(units for _, _, units, _ in small) <= 2
    assert max(endpoints for _, _, _, endpoints in small) <= 2


def turn(*changes: ObjectChange) -> list[list[str]]:
    return [[change.key for change in group] for group in in_turn(changes, NODE)]


def test_pods_of_other_nodes_are_followed_before_those_of_the_node() -> None:
    state = decoded([*HERE, EXPOSING])
    away = replace(remote(state, "y/b"), v4=1, v6=2)
    here, moved = replace(away, node=NODE, v4=3, v6=None), replace(away, v4=4, v6=None)
    come, go = ObjectChange("y/here", None, here), ObjectChange("y/away", away, None)
    assert turn(come, go, ObjectChange("y/same", away, away)) == [["y/away"], ["y/here"]]
    assert turn(come) == [["y/here"]]
    assert turn(go) == [["y/away"]]
    assert turn() == [[]]
    assert turn(ObjectChange("y/moved", moved, here), go) == [["y/away"], ["y/moved"]]


def test_changes_that_belong_together_are_followed_at_once() -> None:
    """An address that goes from one kind of pods to the other; a pod and its namespace."""
    state = decoded([*HERE, EXPOSING])
    away = replace(remote(state, "y/b"), v4=1, v6=2)
    come, go = ObjectChange("y/here", None, replace(away, node=NODE)), ObjectChange("y/away", away, None)
    assert turn(go, come) == [["y/away", "y/here"]]
    other = ObjectChange("y/other", None, replace(away, node=NODE, v4=3, v6=None))
    space = ObjectChange("z", None, Namespace("z", ()))
    assert turn(go, other, space) == [["y/away", "y/other", "z"]]
