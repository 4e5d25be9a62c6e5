"""The index of pods finds what a plain scan with `matches` finds."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.index import LabelIndex, PodIndex, bits_of, mask_of
from policyd.kube.objects import Labels, LabelSelector, NamedPort, Namespace, Operator, Pod, Requirement
from policyd.kube.selectors import matches

# Few words, so that selectors hit; "" is a value like any other (NP-034).
KEYS = ("app", "tier", "x/y")
VALUES = ("", "a", "b", "c")
OPERATORS: tuple[Operator, ...] = ("In", "NotIn", "Exists", "DoesNotExist")
NAMESPACES = ("x", "y", "z")

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)).map(
    lambda d: tuple(sorted(d.items()))
)
requirements = st.builds(
    lambda key, operator, values: Requirement(key, operator, values if operator in ("In", "NotIn") else ()),
    st.sampled_from(KEYS),
    st.sampled_from(OPERATORS),
    st.lists(st.sampled_from(VALUES), min_size=1, max_size=3).map(tuple),
)
selectors = st.lists(requirements, max_size=3).map(lambda found: LabelSelector(tuple(found)))


def pod(number: int, namespace: str, given_labels: Labels) -> Pod:
    return Pod(
        namespace, f"p{number}", "", given_labels, None, False, False, False, "", 10 << 24 | number, None, ()
    )


@given(st.lists(labels, max_size=70), st.lists(selectors, min_size=1, max_size=5))
def test_labels_are_found_as_by_a_scan(things: list[Labels], asked: list[LabelSelector]) -> None:
    """Also when asked again, as answers are remembered; and past 64 bits, where bits are read otherwise."""
    index = LabelIndex(things)
    for selector in (*asked, *asked):
        expected = [bit for bit, pairs in enumerate(things) if matches(selector, dict(pairs))]
        assert bits_of(index.select(selector)) == expected


@given(
    st.lists(st.tuples(st.sampled_from(NAMESPACES), labels), max_size=20),
    st.dictionaries(st.sampled_from(NAMESPACES), labels),
    selectors,
    selectors,
)
def test_pods_are_found_as_by_a_scan(
    placed: list[tuple[str, Labels]], known: dict[str, Labels], in_: LabelSelector, those: LabelSelector
) -> None:
    """A pod of a namespace that nobody knows is in no namespace that a selector can match (NP-048)."""
    pods = tuple(pod(number, namespace, pairs) for number, (namespace, pairs) in enumerate(placed))
    index = PodIndex(pods, {name: Namespace(name, pairs) for name, pairs in known.items()})
    spaces = {name for name, pairs in known.items() if matches(in_, dict(pairs))}
    assert bits_of(index.in_namespaces(in_)) == [b for b, p in enumerate(pods) if p.namespace in spaces]
    assert bits_of(index.select(those)) == [b for b, p in enumerate(pods) if matches(those, dict(p.labels))]
    for name in NAMESPACES:
        assert bits_of(index.in_namespace(name)) == [b for b, p in enumerate(pods) if p.namespace == name]


@given(st.sets(st.integers(0, 300)))
def test_bits_and_masks_are_each_other_s_inverse(bits: set[int]) -> None:
    mask = mask_of(bits, 301)
    assert mask == sum(1 << bit for bit in bits)
    assert bits_of(mask) == sorted(bits)


@pytest.mark.parametrize("many", [0, 1, 15, 16, 17, 40, 400, 4_000, 9_999])
def test_bits_of_long_masks_are_found_however_many_there_are(many: int) -> None:
    bits = sorted(random.Random(many).sample(range(10_000), many))
    assert bits_of(mask_of(bits, 10_000)) == bits


@given(
    st.lists(st.tuples(st.sampled_from(NAMESPACES), labels), min_size=1, max_size=90),
    st.dictionaries(st.sampled_from(NAMESPACES), labels),
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(NAMESPACES), st.none() | labels), min_size=1, max_size=9
    ),
    st.lists(st.tuples(st.sampled_from(NAMESPACES), st.none() | labels), max_size=3),
    st.lists(selectors, min_size=1, max_size=3),
)
def test_an_index_that_follows_is_one_that_is_made_again(
    placed: list[tuple[str, Labels]],
    known: dict[str, Labels],
    moved: list[tuple[int, str, Labels | None]],
    renamed: list[tuple[str, Labels | None]],
    asked: list[LabelSelector],
) -> None:
    """Pods come, go and change, and so do namespaces; what was asked before is asked again."""
    there = {number: exposing(number, *place) for number, place in enumerate(placed)}
    spaces = {name: Namespace(name, pairs) for name, pairs in known.items()}
    index = PodIndex(there.values(), spaces)

    check(index, there, spaces, asked)
    for bit, namespace, pairs in moved:
        if bit in there:
            index.drop(bit, there.pop(bit))
        if pairs is not None:
            there[bit] = exposing(bit, namespace, pairs)
            index.put(bit, there[bit])
        check(index, there, spaces, asked)
    for name, pairs in renamed:
        before = spaces.pop(name, None)
        if pairs is not None:
            spaces[name] = Namespace(name, pairs)
        index.rename(before, spaces.get(name))
        check(index, there, spaces, asked)


def exposing(number: int, namespace: str, given_labels: Labels) -> Pod:
    return replace(pod(number, namespace, given_labels), ports=(NamedPort("web", "TCP", 80 + number % 3),))


def check(
    index: PodIndex,
    there: dict[int, Pod],
    spaces: dict[str, Namespace],
    asked: list[LabelSelector],
) -> None:
    for selector in asked:
        those = [b for b, p in sorted(there.items()) if matches(selector, dict(p.labels))]
        assert bits_of(index.select(selector)) == those
        inside = {name for name, space in spaces.items() if matches(selector, dict(space.labels))}
        here = [b for b, p in sorted(there.items()) if p.namespace in inside]
        assert bits_of(index.in_namespaces(selector)) == here
    for name in NAMESPACES:
        here = [b for b, p in sorted(there.items()) if p.namespace == name]
        assert bits_of(index.in_namespace(name)) == here
    numbers = {number: bits_of(mask) for number, mask in index.exposing("web", "TCP")}
    expected: dict[int, list[int]] = {}
    for bit, one in sorted(there.items()):
        for port in one.ports:
            expected.setdefault(port.number, []).append(bit)
    assert numbers == expected
