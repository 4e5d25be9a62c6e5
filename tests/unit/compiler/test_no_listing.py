"""What is no listing is told as such, and what a listing should not hold as a thing in it."""

from __future__ import annotations

import json

import pytest

from policyd_compiler.nft.ast import Chain, ChainName, Table
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing

TABLE: dict[str, object] = {"table": {"family": "inet", "name": "t", "handle": 1}}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "null", "{}", '{"nftables": null}', '{"nftables": {}}', "[" * 100_000),
        *('{"nftables": [7]}', '{"nftables": [[]]}', '{"nftables": [{}]}', '{"nftables": [{"table": null}]}'),
        '{"nftables": [{"table": {}, "chain": {}}]}',
    ],
)
def test_what_is_no_listing_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="no listing of nft"):
        parse_listing(text, "t")


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("chain", {"name": 7}),
        ("chain", {"name": ["c"]}),
        ("chain", {"name": "c", "type": "filter", "hook": "input", "policy": "accept", "prio": float("inf")}),
        ("set", {"name": 7, "type": "ipv4_addr"}),
        ("set", {"name": "s", "type": "ipv4_addr", "size": float("inf")}),
        ("set", {"name": "s", "type": "ipv4_addr", "elem": 7}),
        ("map", {"name": "m", "type": "ipv4_addr", "map": "verdict", "elem": ["10.0.0.1"]}),
        ("rule", {"chain": None, "expr": []}),
    ],
)
def test_what_nft_does_not_list_is_foreign(kind: str, odd: dict[str, object]) -> None:
    listed = [TABLE, {"chain": {"family": "inet", "table": "t", "name": "a"}}]
    text = json.dumps({"nftables": [*listed, {kind: {"family": "inet", "table": "t", **odd}}]})
    with pytest.raises(ForeignContent):
        parse_listing(text, "t")


@pytest.mark.parametrize("flags", ["dormant", ["dormant"], ["owner", "dormant"]])
def test_a_dormant_table_is_foreign(flags: object) -> None:
    """As versions of nft list it whose listing is whole; it enforces nothing."""
    text = json.dumps({"nftables": [{"table": {"family": "inet", "name": "t", "handle": 1, "flags": flags}}]})
    with pytest.raises(ForeignContent):
        parse_listing(text, "t")


def test_a_table_of_another_family_is_another() -> None:
    """Both families may have a table of our name; a listing of one says nothing about the other."""
    listing = json.dumps(
        {
            "nftables": [
                TABLE,
                {"table": {"family": "bridge", "name": "t", "handle": 2}},
                {"chain": {"family": "bridge", "table": "t", "name": "c", "handle": 1}},
            ]
        }
    )
    inet, bridge = parse_listing(listing, "t"), parse_listing(listing, "t", "bridge")
    assert inet == Table("t")
    assert bridge == Table("t", chains=(Chain(ChainName("c")),), family="bridge")
