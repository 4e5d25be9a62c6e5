"""A number in a script that is none, or too long for one, is told with its line."""

from __future__ import annotations

import pytest

from policyd_compiler.nft.parser import ParseError, parse_script


@pytest.mark.parametrize("number", ["9" * 5000, "1.5", "--1", "٣"])
def test_what_is_no_number_is_reported(number: str) -> None:
    with pytest.raises(ParseError, match="line 2: expected a number, not"):
        parse_script(f"add table inet t\nadd set inet t s {{ type ipv4_addr; size {number}; }}\n")
