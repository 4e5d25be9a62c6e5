"""The store: the last word about each object counts, and nothing that went before."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from policyd.agent.store import ObjectStore
from policyd.cluster.attachments import UNKNOWN
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState
from policyd.kube.objects import KubeObject, LabelSelector, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.registry import KINDS

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
