"""Names of chains and sets: one for each content, never one for two."""

from __future__ import annotations

import pytest

from policyd_compiler.errors import CompilerBug
from policyd_compiler.names import READABLE, Names, readable


def test_one_name_for_two_contents_is_refused() -> None:
    """A collision of hashes must not merge what two policies say (NP-042)."""
    names = Names()
    assert names.claim("in4-1-x/p", b"drop")
    with pytest.raises(CompilerBug, match="two contents want the name in4-1-x/p"):
        names.claim("in4-1-x/p", b"return")


def test_equal_contents_share_a_name() -> None:
    names = Names()
    assert names.claim("peers4-1", b"content")
    assert not names.claim("peers4-1", bytes(bytearray(b"content")))


def test_the_readable_part_is_bounded_and_tells_how_many() -> None:
    assert readable(("shop/web",)) == "shop/web"
    assert readable(("shop/web", "shop/z")) == "shop/web.and.1"
    assert len(readable(("x/" + "n" * 253,))) == READABLE
