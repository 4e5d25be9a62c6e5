"""The search for culprits: it finds them all, harms nobody else, and does not ask for ever."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from policyd.agent.attribution import Search, candidates

POLICIES = [f"n{space}/p{number}" for space in range(5) for number in range(8)]


def run(search: Search, is_fine: Callable[[frozenset[str]], bool]) -> Search:
    while search.asked is not None:
        search.answer(fine=is_fine(search.asked))
    return search


@given(st.sets(st.sampled_from(POLICIES), min_size=1, max_size=6))
def test_exactly_the_culprits_are_found_and_in_few_attempts(bad: set[str]) -> None:
    found = run(Search.over([POLICIES]), lambda closed: bad <= closed)
    assert frozenset(bad) == found.culprits
    steps = ceil(log2(5)) + ceil(log2(8)) + 2
    assert found.tried <= 2 + len(bad) * 2 * steps


@given(st.sets(st.sampled_from(POLICIES[:8]), min_size=1), st.integers(0, 7))
def test_of_many_that_are_too_much_together_only_some_are_closed(heavy: set[str], most: int) -> None:
    """Each is fine alone: as many stay as are fine together, and no other namespace is touched."""
    found = run(Search.over([POLICIES]), lambda closed: len(heavy - closed) <= most)
    assert len(found.culprits) == max(len(heavy) - most, 0)
    assert found.culprits <= heavy


@given(st.sets(st.sampled_from(POLICIES), min_size=1, max_size=3))
def test_what_is_enough_only_ever_shrinks(bad: set[str]) -> None:
    """So whenever one gives up, what is closed is enough, and the least that is known to be."""
    search = Search.over([POLICIES])
    before = frozenset(POLICIES)
    while search.asked is not None:
        search.answer(fine=bad <= search.asked)
        if search.enough is not None:
            assert bad <= search.enough <= before
            before = search.enough
    search.give_up()
    assert frozenset(bad) == search.culprits


def test_the_narrowest_circle_that_is_enough_is_searched() -> None:
    asked: list[frozenset[str]] = []

    def is_fine(closed: frozenset[str]) -> bool:
        asked.append(closed)
        return "n1/p1" in closed

    found = run(Search.over([["n0/p0"], ["n0/p0", "n1/p1"], POLICIES]), is_fine)
    assert found.culprits == {"n1/p1"}
    assert max(map(len, asked)) == 2


def test_no_culprits_where_all_is_fine_or_closing_does_not_help() -> None:
    assert run(Search.over([POLICIES]), lambda _: True).culprits == frozenset()
    assert run(Search.over([[], POLICIES]), lambda _: False).culprits == frozenset()


def test_candidates_are_the_policies_of_what_a_statement_names() -> None:
    """Whatever parts are called, and in whatever a statement names them."""
    owners = {"in4-1-shop/a": frozenset({"shop/a"}), "peers4-2": frozenset({"shop/b", "shop/c"})}
    assert candidates("add map inet policyd m { elements = { 10.0.0.1 : goto in4-1-shop/a, }; }", owners) == (
        "shop/a",
    )
    assert candidates("delete counter inet policyd new", {"new": frozenset({"shop/d"})}) == ("shop/d",)
    assert candidates("add rule inet policyd in4-1-shop/a ip saddr @peers4-2 return", owners) == (
        "shop/a", "shop/b", "shop/c",
    )  # fmt: skip
    assert candidates("add rule inet policyd forward ip saddr vmap @egress4-3", owners) == ()


def test_a_policy_of_the_cluster_shares_no_fate_with_the_namespace_of_its_name() -> None:
    found = run(Search.over([["n1", *POLICIES]]), lambda closed: "n1" in closed)
    assert found.culprits == {"n1"}
    found = run(Search.over([["n1", *POLICIES]]), lambda closed: "n1/p3" in closed)
    assert found.culprits == {"n1/p3"}
