"""How sets are declared: every nft on a node can list what policyd wrote, and policyd what each lists."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from policyd_compiler.nft.ast import ChainName, Jump, Set, Table, VerdictMap
from policyd_compiler.nft.commands import add, print_changes
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, SetName
from policyd_compiler.nft.parser import parse_table
from policyd_compiler.nft.printer import print_table


def field(protocol: str, name: str) -> dict[str, object]:
    return {"payload": {"protocol": protocol, "field": name}}


IIFNAME = {"meta": {"key": "iifname"}}

# As nft 1.1.3 and 1.1.7 list them, recorded for addresses, pairs and names; 1.0.6 lists the types.
LISTED: Mapping[KeyType, tuple[object, object]] = {
    KeyType.V4: (field("ip", "saddr"), "ipv4_addr"),
    KeyType.V6: (field("ip6", "saddr"), "ipv6_addr"),
    KeyType.V4_PAIR: ({"concat": [field("ip", "saddr"), field("ip", "daddr")]}, ["ipv4_addr", "ipv4_addr"]),
    KeyType.V6_PAIR: ({"concat": [field("ip6", "saddr"), field("ip6", "daddr")]}, ["ipv6_addr", "ipv6_addr"]),
    KeyType.IFNAME: (IIFNAME, "ifname"),
    KeyType.ETHER: (field("ether", "saddr"), "ether_addr"),
    KeyType.IFNAME_V4: ({"concat": [IIFNAME, field("ip", "saddr")]}, ["ifname", "ipv4_addr"]),
    KeyType.IFNAME_V6: ({"concat": [IIFNAME, field("ip6", "saddr")]}, ["ifname", "ipv6_addr"]),
    KeyType.IFNAME_ETHER: ({"concat": [IIFNAME, field("ether", "saddr")]}, ["ifname", "ether_addr"]),
    KeyType.IFNAME_TARGET: (
        {"concat": [IIFNAME, {"payload": {"base": "th", "offset": 64, "len": 128}}]},
        ["ifname", "integer"],
    ),
}


def listing(declared: object) -> str:
    place = {"family": "inet", "table": "t", "name": "s", "handle": 2}
    table = {"table": {"family": "inet", "name": "t", "handle": 1}}
    return json.dumps({"nftables": [table, {"set": {**place, "type": declared}}]})


@pytest.mark.parametrize("kind", KeyType)
def test_every_version_of_nft_lists_what_is_known(kind: KeyType) -> None:
    fields, types = LISTED[kind]
    for declared in ({"typeof": fields}, types):
        table = parse_listing(listing(declared), "t")
        assert table is not None
        assert [found.key for found in table.sets] == [kind]


@pytest.mark.parametrize(
    "declared",
    [
        {"typeof": field("ip", "daddr")},
        {"typeof": field("tcp", "dport")},
        {"typeof": field("ip", "saddr"), "more": 1},
        {"typeof": {"concat": [field("ip", "saddr"), field("ip", "saddr")]}},
        {"typeof": {"meta": {"key": "oifname"}}},
        {"typeof": "ip saddr"},
        "inet_service",
    ],
)
def test_what_policyd_does_not_declare_is_foreign(declared: object) -> None:
    with pytest.raises(ForeignContent):
        parse_listing(listing(declared), "t")


@pytest.mark.parametrize("kind", KeyType)
def test_no_set_is_declared_by_its_type(kind: KeyType) -> None:
    """Nft from 1.1.2 on would note for it what makes older ones crash (kubernetes#136786)."""
    parts = (
        Set(SetName("s"), kind, ()),
        VerdictMap(SetName("m"), kind, ((_key(kind), Jump(ChainName("c"))),)),
    )
    text = print_table(Table("t", sets=parts[:1], maps=parts[1:], chains=()))
    text += print_changes("t", [add(part) for part in parts])
    assert text.count(f"typeof {TYPEOF[kind]}") == 4
    assert "type " not in text


@pytest.mark.parametrize("kind", KeyType)
def test_a_ruleset_of_an_older_policyd_is_read(kind: KeyType) -> None:
    """State files and rulesets in force outlive an update."""
    table = Table("t", sets=(Set(SetName("s"), kind, ()),), maps=(), chains=())
    text = print_table(table)
    assert parse_table(text.replace(f"typeof {TYPEOF[kind]}", f"type {kind.value}")) == table


def _key(kind: KeyType) -> Key:
    match ["cni0" if part == "ifname" else number for number, part in enumerate(kind.kinds, start=1)]:
        case [int(first), int(second)]:
            return first, second
        case [str(name), int(number)]:
            return name, number
        case [int() | str() as only]:
            return only
        case other:
            raise AssertionError(other)
