"""Elements as bytes and back, without a kernel; and what is of no type is refused, not written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.netlink.element_codec import decode, encode
from policyd.netlink.elements import MOST, _keys, split
from policyd.netlink.messages import Malformed, attributes
from policyd_compiler.nft.ast import Drop, Reject, Set, VerdictMap
from policyd_compiler.nft.commands import Change, add
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.nft.keys import Key, KeyType, SetName
from tests.netlink.contents import PARTS, Part, deletion, filled, only, parts_of

NAME = SetName("s")


@given(filled(), st.randoms())
def test_what_is_encoded_is_decoded(parts: tuple[Part, ...], random: Random) -> None:
    """In any order, and over any number of messages."""
    for part in parts:
        elements = encode(part)
        random.shuffle(elements)
        assert decode(elements, only(part, [False])) == part
        assert decode([b"".join(elements)], only(part, [False])) == part


@given(st.binary(max_size=200), st.sampled_from(PARTS))
def test_bytes_that_are_no_elements_are_refused(data: bytes, part: Part) -> None:
    """Or they are elements: nothing else comes of them."""
    try:
        decode([data], part)
    except (Malformed, ForeignContent):
        return


@given(filled(), st.integers(0, 10**6))
def test_elements_cut_short_are_none(parts: tuple[Part, ...], cut: int) -> None:
    for part in parts:
        data = b"".join(encode(part))
        if data:
            with pytest.raises((Malformed, ForeignContent)):
                decode([data[: cut % len(data)], b"\1"], part)


@given(st.binary(max_size=100))
def test_attributes_come_to_an_end(data: bytes) -> None:
    """A length of 0 among them, too."""
    try:
        found = attributes(data)
    except Malformed:
        return
    assert sum(map(len, found.values())) <= len(data)


WRONG: dict[str, Part] = {
    "a number that is too large": Set(NAME, KeyType.V4, (1 << 32,)),
    "a number below zero": Set(NAME, KeyType.ETHER, (-1,)),
    "a name for a number": Set(NAME, KeyType.V4, ("eth0",)),
    "a number for a name": Set(NAME, KeyType.IFNAME, (7,)),
    "a name that is too long": Set(NAME, KeyType.IFNAME, ("x" * 16,)),
    "no name": Set(NAME, KeyType.IFNAME, ("",)),
    "a pattern in a set of names": Set(NAME, KeyType.IFNAME, ("eth*",)),
    "a pattern of everything": Set(NAME, KeyType.IFNAME, ("*",), interval=True),
    "a pattern within a name": Set(NAME, KeyType.IFNAME, ("e*h*",), interval=True),
    "a range in a set of addresses": Set(NAME, KeyType.V4, ((1, 2),)),
    "one value of a pair": Set(NAME, KeyType.V4_PAIR, (1,)),
    "an address in a set of ranges": Set(NAME, KeyType.V4, (1,), interval=True),
    "a range that ends before it begins": Set(NAME, KeyType.V4, ((2, 1),), interval=True),
    "ranges of pairs": Set(NAME, KeyType.V4_PAIR, ((1, 2),), interval=True),
    "a verdict of rules only": VerdictMap(NAME, KeyType.V4, ((1, Reject()),)),
}


@pytest.mark.parametrize("part", WRONG.values(), ids=list(WRONG))
def test_what_is_not_of_its_type_is_refused(part: Part) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(part)


@given(st.lists(st.integers(0, 2 * MOST + 5), min_size=1, max_size=4))
def test_a_split_loses_nothing_and_keeps_the_order(counts: list[int]) -> None:
    """Of additions and deletions, to sets and maps."""
    one, other = parts_of(KeyType.V4, interval=False)
    kinds = (
        lambda n: add(replace(one, elements=tuple(range(n)))),
        lambda n: deletion(replace(one, elements=tuple(range(n)))),
        lambda n: add(replace(other, elements=tuple((key, Drop()) for key in range(n)))),
    )
    changes = [kinds[number % 3](count) for number, count in enumerate(counts)]
    batches = list(split(changes))

    def flat(some: Iterable[Change]) -> list[tuple[str, Key]]:
        return [(change.verb, key) for change in some for key in _keys(change)]

    assert [item for batch in batches for item in flat(batch)] == flat(changes)
    assert all(len(flat(batch)) <= MOST for batch in batches)
