"""The store: the last word about each object counts, and nothing that went before."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange
from policyd.kube.objects import KubeObject, LabelSelector, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.registry import KINDS
from policyd.node.attach import Hint
from policyd.object_store import News, ObjectStore
from policyd_compiler.ir import Attachment

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
        assert (store.take_news() > News.NOTHING) == bool(batch)


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


def test_a_pod_of_this_node_starts_when_it_gets_its_address_and_nobody_waits_before_and_after() -> None:
    """As API servers tell it: created, bound to the node, with an address, ready, without it, deleted."""
    store = ObjectStore("n1", asyncio.Event())
    steps = [
        (pod("far", 9, node="n2"), News.CHANGES),
        (pod("near", None, node=""), News.CHANGES),
        (pod("near", None), News.IDLE),
        (pod("near", 1), News.STARTS),
        (pod("near", 1), News.CHANGES),
        (pod("near", None), News.IDLE),
    ]
    for item, expected in steps:
        store.apply([Upsert(f"x/{item.name}", item)])
        assert store.take_news() is expected
    for name, expected in (("near", News.IDLE), ("far", News.CHANGES)):
        store.apply([Delete("Pod", f"x/{name}")])
        assert store.take_news() is expected


def test_of_several_news_it_is_the_one_that_waits_least() -> None:
    store = ObjectStore("n1", asyncio.Event())
    store.apply(
        [Upsert("x/near", pod("near", 1)), Delete("Pod", "x/near"), Upsert("x/far", pod("far", 2, "n2"))]
    )
    assert [store.take_news(), store.take_news()] == [News.STARTS, News.NOTHING]


def test_a_pod_that_its_plugin_knows_starts_and_is_missed_by_nobody() -> None:
    """What the plugin says no more is not in force for longer than `linger`."""
    wake = asyncio.Event()
    store = ObjectStore("n1", wake)
    store.apply(
        [
            Upsert("x/a", replace(pod("a", None), uid="uid-a")),
            Upsert("x/b", replace(pod("b", None), uid="uid-b")),
        ]
    )
    store.take_news()
    both = {f"uid-{name}": Hint(f"uid-{name}", number, None) for number, name in enumerate("ab", 1)}
    told = []
    for hints in (both, both, {"uid-a": both["uid-a"]}, {}):
        wake.clear()
        store.hint(hints)
        told.append((store.take_news(), wake.is_set()))
    assert told == [(News.STARTS, True), (News.NOTHING, False), (News.IDLE, True), (News.IDLE, True)]
    assert not store.state().pods["x/a"].has_address


hints = st.lists(st.sampled_from(NAMES), unique=True).map(
    lambda chosen: {f"uid-{name}": Hint(f"uid-{name}", 2, None) for name in chosen}
)


def differing(before: ClusterState, after: ClusterState) -> list[ObjectChange]:
    found: list[ObjectChange] = []
    for kind in KINDS:
        was, now = before.all(kind), after.all(kind)
        found.extend(ObjectChange(key, was.get(key), now.get(key)) for key in was.keys() | now.keys())
    return in_order(found)


def in_order(changes: list[ObjectChange]) -> list[ObjectChange]:
    differing = (each for each in changes if each.before != each.after)
    return sorted(differing, key=lambda each: (each.key, str(type(each.before or each.after))))


@given(st.lists(st.tuples(st.lists(events, max_size=4), st.none() | hints), max_size=8))
def test_what_became_of_objects_is_reported(
    batches: list[tuple[list[Event], dict[str, Hint] | None]],
) -> None:
    """From one state to the next, however often an object changed between them, or was said again.

    Pods that wait for an address have what their network plugin said, unless another has that.
    """
    store = ObjectStore("n1", asyncio.Event())
    assert store.take_changes() is None, "nobody has asked yet"
    before = store.state()
    for batch, said in batches:
        store.apply([with_uid(event) for event in batch])
        if said is not None:
            store.hint(said)
        found, after = store.take_changes(), store.state()
        assert found is not None
        assert in_order(found) == differing(before, after)
        before = after


def with_uid(event: Event) -> Event:
    if isinstance(event, Upsert) and isinstance(event.item, Pod):
        return replace(event, item=replace(event.item, uid=f"uid-{event.item.name}"))
    return event


def test_while_a_pod_has_what_its_plugin_says_other_pods_may_change_it() -> None:
    """A pod of another node that claims the address takes it from the pod of this node."""
    store = ObjectStore("n1", asyncio.Event())
    waiting = replace(pod("a", None), uid="uid-a")
    store.apply([Upsert("x/a", waiting)])
    store.take_changes()
    store.hint({"uid-a": Hint("uid-a", 7, None)})
    hinted = replace(waiting, v4=7)
    assert store.take_changes() == [ObjectChange("x/a", waiting, hinted)]
    other = pod("b", 7, "n2")
    store.apply([Upsert("x/b", other)])
    found = in_order(store.take_changes() or [])
    assert found == [ObjectChange("x/a", hinted, waiting), ObjectChange("x/b", None, other)]


def test_what_links_say_is_news() -> None:
    store = ObjectStore("n1", asyncio.Event())
    store.attach(Attachments(bridges=("cni0",)))
    assert store.take_news() is News.INTERFACES
    assert store.attachments.bridges == ("cni0",)


def test_interfaces_are_looked_for_from_a_change_of_this_nodes_pods_to_the_end_of_the_look_after_it() -> None:
    wake, looking = asyncio.Event(), list[bool]()
    store = ObjectStore("n1", wake)
    store.apply([Upsert("x/near", pod("near", 1))])
    looking.append(store.is_looking)  # nobody looks
    store.expect_attachments()
    looking.append(store.is_looking)
    store.begin_look()
    store.apply([Upsert("x/near", pod("near", 2))])
    store.attach(UNKNOWN)
    looking.append(store.is_looking)  # that look began before
    store.begin_look()
    looking.append(store.is_looking)
    store.take_news()
    wake.clear()
    store.attach(UNKNOWN)
    looking.append(store.is_looking)
    assert wake.is_set()
    for item in (pod("far", 3, node="n2"), pod("next", None)):  # of another node; without an address
        store.apply([Upsert(f"x/{item.name}", item)])
    store.apply([Delete("Pod", "x/near")])
    looking.append(store.is_looking)
    assert looking == [False, True, True, True, False, False]


def test_that_only_interfaces_became_known_is_said_once() -> None:
    store = ObjectStore("n1", asyncio.Event())
    first, second = (Attachments({"x/near": Attachment(f"veth{number}")}) for number in (1, 2))
    store.attach(first)
    assert store.take_news() is News.INTERFACES
    store.apply([Upsert("x/near", pod("near", 1))])
    store.attach(second)
    assert [store.take_news(), store.take_news()] == [News.STARTS, News.NOTHING]
    store.attach(UNKNOWN)
    assert store.take_news() is News.IDLE


def test_ports_that_have_gone_with_their_pods_are_missed_by_nobody() -> None:
    store = ObjectStore("n1", asyncio.Event())
    pods = {f"x/{port}": Attachment(port, "cni0") for port in ("veth1", "veth2")}
    both = Attachments(pods, ("cni0",), tuple(sorted(each.interface for each in pods.values())), ("up0",))
    one = replace(both, pods={"x/veth1": pods["x/veth1"]}, ports=("veth1",))
    news = []
    for now in (both, one, both, replace(one, others=("up0", "veth2")), one, replace(one, bridges=())):
        store.attach(now)
        news.append(store.take_news())
    assert news == [News.INTERFACES, News.IDLE, *[News.INTERFACES] * 4]
