"""Chains that have sets in common still decide the same for every host."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from policyd_compiler.lower.classes import Classes
from policyd_compiler.lower.sharing import Class, own_classes

HOSTS = 12
DEFAULT = 0
masks = st.integers(0, (1 << HOSTS) - 1)
groups = st.lists(st.tuples(st.integers(0, 5), masks), max_size=8).map(tuple)


@st.composite
def classes(draw: st.DrawFn) -> Classes:
    """Disjoint masks, each with ports of its own, none empty; what has those of the default is plain."""
    left, found = (1 << HOSTS) - 1, []
    for port in range(draw(st.integers(0, 5)) + 1):
        mask = draw(masks) & left
        left &= ~mask
        if mask:
            found.append((port, mask))
    telling = tuple(each for each in found if each[0] != DEFAULT)
    return Classes(telling, (), DEFAULT, tuple(each for each in found if each[0] == DEFAULT))


def asked(own: tuple[Class, ...], of: tuple[Class, ...], host: int) -> int:
    """What is found first when the sets are asked in their order."""
    return next((ports for ports, mask in (*own, *of) if mask >> host & 1), DEFAULT)


@given(classes(), groups)
@example(Classes(((1, 0b0001), (2, 0b1110)), (), DEFAULT), ((2, 0b1111),))
def test_every_host_finds_its_class(of: Classes, some: tuple[Class, ...]) -> None:
    named = 0
    for _, mask in (*of.hosts, *of.plain):
        named |= mask
    some = tuple((ports, mask & named) for ports, mask in some)  # groups are of hosts that rules name
    own = own_classes(of, some)
    for host in range(HOSTS):
        expected = next((ports for ports, mask in of.hosts if mask >> host & 1), DEFAULT)
        assert asked(own, some, host) == expected


@given(classes(), groups)
def test_own_classes_are_disjoint_and_no_larger_than_they_must_be(
    of: Classes, some: tuple[Class, ...]
) -> None:
    own = own_classes(of, some)
    seen = 0
    for ports, mask in own:
        assert mask
        assert not mask & seen
        seen |= mask
        for host in range(HOSTS):
            if mask >> host & 1:
                first = next((opened for opened, hosts in some if hosts >> host & 1), None)
                assert first != ports


def test_what_two_chains_name_stands_in_one_set() -> None:
    team, first, second = 0b11110000, 0b0001, 0b0010
    ports = 1
    for own in (first, second):
        of = Classes(((ports, team | own),), (), DEFAULT)
        assert own_classes(of, ((ports, team),)) == ((ports, own),)
