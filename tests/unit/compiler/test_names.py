"""Names of chains and sets: one for each content, never one for two."""

from __future__ import annotations

import re

from policyd_compiler.names import READABLE, Names, digest, readable


def first_letter(content: bytes) -> str:
    """A hash that an attacker has broken: contents that begin alike have one name."""
    return chr(ord("a") + content[0] % 26)


def test_one_name_is_never_given_to_two_contents() -> None:
    """A collision of hashes must not merge what two policies say (NP-042), and costs only a suffix."""
    names = Names(first_letter)
    first, second, third = (names.of_content("in4", content, "x/p") for content in (b"d1", b"d2", b"d3"))
    assert first == ("in4-w-x/p", True)
    assert len({first, second, third}) == 3
    assert second[0].startswith("in4-w-x/p-")
    assert names.of_content("in4", b"d2", "x/p") == (second[0], False)
    assert names.claim("ports-tcp.80", b"return")[0] != names.claim("ports-tcp.80", b"drop")[0]


def test_a_weak_hash_still_gives_names() -> None:
    names = Names(lambda _: "0")
    given = [names.of_content("peers4", number.to_bytes(2)) for number in range(40)]
    assert len({name for name, _ in given}) == 40
    assert all(new for _, new in given)


def test_equal_contents_share_a_name() -> None:
    names = Names()
    name, new = names.of_content("peers4", b"content")
    assert new
    assert names.of_content("peers4", bytes(bytearray(b"content"))) == (name, False)


def test_a_name_depends_on_its_own_content_alone() -> None:
    """Or one name would mean two contents, one after the other, and a swap would not notice."""
    crowded = Names()
    for number in range(1000):
        crowded.of_content("peers4", number.to_bytes(2))
    for content in (b"", b"\x00\x01", b"x" * 1000, b"x" * 999 + b"y"):
        assert crowded.of_content("peers4", content)[0] == Names().of_content("peers4", content)[0]
    assert Names().of_content("peers4", b"a") != Names().of_content("peers4", b"b")


def test_a_name_holds_so_much_of_a_hash_that_nobody_finds_two_contents_for_it() -> None:
    """48 bits fell to 19 seconds of one processor; here are 160, in letters that nft takes."""
    assert re.fullmatch("[a-z2-7]{32}", digest(b"content"))
    longest, _ = Names().of_content("range-ports4", b"", readable(("n" * 63 + "/" + "p" * 253, "n/q")))
    assert len(longest) < 128


def test_the_readable_part_is_bounded_and_says_how_many() -> None:
    assert readable(("shop/web",)) == "shop/web"
    assert readable(("shop/web", "shop/z")) == "shop/web.and.1"
    assert len(readable(("x/" + "n" * 253,))) == READABLE
