"""Chains that have sets in common still decide the same for every host."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from policyd_compiler.lower.sharing import MOST_SHARED, Shared, share

HOSTS = 12
masks = st.integers(0, (1 << HOSTS) - 1)
groups = st.lists(masks, max_size=8).map(tuple)


@st.composite
def classes(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Disjoint masks, none empty, each with ports of its own."""
    left, found = (1 << HOSTS) - 1, []
    for port in range(1, draw(st.integers(0, 5)) + 1):
        mask = draw(masks) & left
        left &= ~mask
        if mask:
            found.append((port, mask))
    return tuple(found)


def asked(shared: Shared, host: int) -> int | None:
    """What is found first when the sets are asked in their order."""
    for ports, mask in (*shared.own, *shared.groups):
        if mask >> host & 1:
            return ports
    return None


@given(classes(), groups)
@example(((1, 0b0001), (2, 0b1110)), (0b1111,))
def test_every_host_finds_its_class(of: tuple[tuple[int, int], ...], some: tuple[int, ...]) -> None:
    shared = share(of, some)
    for host in range(HOSTS):
        expected = next((ports for ports, mask in of if mask >> host & 1), None)
        assert asked(shared, host) == expected


@given(classes(), groups)
def test_few_sets_are_asked_and_each_whole(of: tuple[tuple[int, int], ...], some: tuple[int, ...]) -> None:
    shared = share(of, some)
    assert len(shared.groups) <= MOST_SHARED
    assert {mask for _, mask in shared.groups} <= set(some)
    assert len(shared.own) <= len(of)


def test_what_two_chains_name_stands_in_one_set() -> None:
    team, first, second = 0b11110000, 0b0001, 0b0010
    ports = 1
    for own in (first, second):
        shared = share(((ports, team | own),), (team,))
        assert shared == Shared(((ports, own),), ((ports, team),))
