"""The store: the last word about each object counts, and nothing that went before."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState
from policyd.graph.graph import PodChange
from policyd.kube.objects import KubeObject, LabelSelector, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.registry import KINDS, POD
from policyd.node.attach import Hint
from policyd.object_store import ObjectStore

NAMES = ("a", "b")
IPS = st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",)])


def pod(name: str, v4: int | None, node: str = "n1") -> Pod:
    return Pod("x", name, "", (), node, False, False, False, "", v4, None, ())


names = st.sampled_from(NAMES)
objects: st.SearchStrategy[KubeObject] = st.one_of(
    st.builds(pod, names, st.sampled_from([None, 1, 2])),
    st.builds(lambda name, v: Namespace(name, (("v", v),)), names, names),
    st.builds(lambda name, rules: NetworkPolicy("x", name, LabelSelector(), rules, None), names, IPS),
    st.builds(lambda name, ips: Node(name, (), ips), names, IPS),
)
deletions = st.sampled_from(
    [Delete(kind.name, f"x/{n}" if kind.namespaced else n) for kind in KINDS for n in NAMES]
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(lambda item: Upsert(KINDS.key(item), item), objects), deletions
)


@given(st.lists(st.lists(events, max_size=4), max_size=8))
def test_the_last_word_counts(batches: list[list[Event]]) -> None:
    store = ObjectStore("n1", asyncio.Event())
    last: dict[tuple[str, str], KubeObject] = {}
    for batch in batches:
        before, copy = store.state(), ClusterState.of(last.values())
        store.apply(batch)
        for event in batch:
            match event:
                case Upsert(key, item):
                    last[type(item).__name__, key] = item
                case Delete(kind, key):
                    last.pop((kind, key), None)
                case Synced():
                    pass
        assert before == copy, "a state is a value: later events do not change it"
        assert store.state() == ClusterState.of(last.values())
        assert store.take_changed() == bool(batch)


def test_it_waits_for_every_kind() -> None:
    store = ObjectStore("n1", asyncio.Event())
    waiting: tuple[str, ...] = KINDS.names
    for kind in KINDS.names:
        assert store.waiting_for == waiting
        store.apply([Synced(kind)])
        waiting = waiting[1:]
    assert store.waiting_for == ()


def test_it_waits_for_interfaces_that_were_read_when_every_pod_was_known() -> None:
    """NP-162: a ruleset made before would take the bindings away that are in force."""
    wake = asyncio.Event()
    store = ObjectStore("n1", wake)
    store.expect_attachments()
    store.attach(UNKNOWN, complete=store.is_complete)
    store.apply([Synced(kind) for kind in KINDS.names])
    waiting = [store.waiting_for]
    assert store.local_changed.is_set()
    wake.clear()
    store.attach(UNKNOWN, complete=store.is_complete)
    waiting.append(store.waiting_for)
    assert (waiting, wake.is_set()) == ([("interfaces",), ()], True)


def test_a_pod_of_this_node_is_urgent_when_it_comes_and_when_it_gets_its_address() -> None:
    """As API servers tell it: created, bound to the node, with an address, ready."""
    store = ObjectStore("n1", asyncio.Event())
    steps = [
        (pod("far", 9, node="n2"), False),
        (pod("near", None, node=""), False),
        (pod("near", None), True),
        (pod("near", None), False),
        (pod("near", 1), True),
        (pod("near", 1), False),
    ]
    for item, expected in steps:
        store.apply([Upsert(f"x/{item.name}", item)])
        assert store.take_urgent() is expected


@given(st.lists(st.lists(events, max_size=4), max_size=8))
def test_what_became_of_pods_is_told_if_nothing_else_changed(batches: list[list[Event]]) -> None:
    """From one state to the next, however often an object changed between them, or was said again."""
    store = ObjectStore("n1", asyncio.Event())
    store.take_pods()
    before = store.state()
    for batch in batches:
        store.apply(batch)
        found, after = store.take_pods(), store.state()
        if found is not None:
            others = {name: of for name, of in after.by_kind.items() if name != POD.name}
            assert others == {name: of for name, of in before.by_kind.items() if name != POD.name}
            keys = sorted(before.pods.keys() | after.pods.keys())
            pairs = [PodChange(key, before.pods.get(key), after.pods.get(key)) for key in keys]
            wanted = [each for each in pairs if each.before != each.after]
            assert sorted((f for f in found if f.before != f.after), key=lambda f: f.key) == wanted
        else:
            said = {event.kind if isinstance(event, Delete) else type(event.item).__name__ for event in batch}  # type: ignore[union-attr]
            assert said - {POD.name}
        before = after


def test_while_a_pod_has_what_its_plugin_says_other_pods_may_change_it() -> None:
    """A pod of another node that claims the address takes it from the pod of this node."""
    store = ObjectStore("n1", asyncio.Event())
    waiting = replace(pod("a", None), uid="uid-a")
    store.apply([Upsert("x/a", waiting)])
    store.take_pods()
    store.hint({"uid-a": Hint("uid-a", 7, None)})
    assert store.take_pods() is None
    store.apply([Upsert("x/b", pod("b", 7, "n2"))])
    assert store.take_pods() is None
    store.apply([Upsert("x/a", replace(waiting, v4=7))])
    assert store.take_pods() is None, "until now it waited"
    store.apply([Upsert("x/b", pod("b", 8, "n2"))])
    found = store.take_pods()
    assert found is not None
    assert [each.key for each in found] == ["x/b"]


def test_attachments_are_more_than_pods() -> None:
    store = ObjectStore("n1", asyncio.Event())
    store.take_pods()
    store.attach(Attachments(bridges=("cni0",)))
    assert store.take_pods() is None
    assert store.take_pods() == []
