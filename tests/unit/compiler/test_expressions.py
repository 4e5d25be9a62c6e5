"""The table of expressions: each row is printed and read back, as text and as libnftables' JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Drop, Log, Rule, Vmap
from policyd_compiler.nft.expressions import (
    FIELDS,
    Field,
    InSet,
    Keys,
    Match,
    Numbers,
    Prefix,
    Range,
    Word,
    numbers,
)
from policyd_compiler.nft.json_rules import Unsupported, read_rule
from policyd_compiler.nft.keys import Json, Key, SetName
from policyd_compiler.nft.matches import holds, left_json, match_json, misread, print_match, read_match_json
from policyd_compiler.nft.packet import ARP, IP, IP6, QINQ, VLAN, Arp, Packet
from policyd_compiler.nft.printer import print_rule
from policyd_compiler.nft.rule_parser import parse_rule
from policyd_compiler.nft.tokens import ParseError, Tokens
from tests.applier.commands import rights

matches = st.sampled_from(Field).flatmap(
    lambda field: st.builds(Match, st.just(field), rights(field), st.booleans())
)
UDP = Packet(4, 1, 2, "udp", 53, iifname="veth1")


@given(matches, matches)
def test_matches_are_read_back_from_text(first: Match, second: Match) -> None:
    assume(misread((first, second)) is None)
    rule = Rule(Drop(), (first, second))
    assert parse_rule(Tokens(print_rule(rule))) == rule


@given(matches)
def test_matches_are_read_back_from_json(match: Match) -> None:
    assert read_match_json(json.loads(json.dumps(match_json(match)))) == match


@pytest.mark.parametrize("field", Field)
def test_a_field_that_keys_are_of_can_lead_to_a_verdict(field: Field) -> None:
    text = f"{field.row.text} vmap @m"
    if field.key_type is None:
        with pytest.raises(ParseError):
            parse_rule(Tokens(text))
    else:
        rule = Rule(Vmap(field, SetName("m")))
        assert print_rule(rule) == text
        assert parse_rule(Tokens(text)) == rule


def test_no_two_fields_are_written_alike() -> None:
    assert len(FIELDS) == len(Field)
    assert len({json.dumps(left_json(text)) for text in FIELDS}) == len(Field)


# nft 1.1 writes a list of one as its only member, and spells `|` out.
SPELLINGS: tuple[tuple[Match, Json], ...] = (
    (
        Match(Field.FIB_SADDR_TYPE, Word("local")),
        {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": "saddr"}}, "right": "local"}},
    ),
    (
        Match(Field.TCP_FLAGS, Word("syn"), negated=True),
        {
            "match": {
                "op": "!=",
                "left": {
                    "&": [
                        {"payload": {"protocol": "tcp", "field": "flags"}},
                        {"|": ["fin", "syn", "rst", "ack"]},
                    ]
                },
                "right": "syn",
            }
        },
    ),
    (
        Match(Field.TCP_DPORT, Numbers(((80, 80),))),
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                "right": {"set": 80},
            }
        },
    ),
    (
        Match(Field.META_L4PROTO, Numbers(((58, 58),))),
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "icmpv6"}},
    ),
)


@pytest.mark.parametrize(("match", "spelled"), SPELLINGS)
def test_spellings_of_other_versions_are_read(match: Match, spelled: Json) -> None:
    assert read_match_json(spelled) == match


@pytest.mark.parametrize(
    "odd",
    [
        {"match": {"op": "<", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}},
        {"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": "new"}},
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new", "related"]}},
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new", "more": 1}},
        {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}},
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "@protocols"}},
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": 256}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": True}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "x"}},
        {"counter": {"packets": 1, "bytes": 1}},
        {"counter": "hits", "more": 1},
        {"log": {"prefix": "x", "level": "debug"}},
        {"limit": {"rate": 1, "burst": 5, "per": "week"}},
        {"limit": {"rate": 1, "burst": 5, "per": "second", "rate_unit": "kbytes"}},
    ],
)
def test_what_the_table_cannot_say_is_not_ours(odd: dict[str, object]) -> None:
    with pytest.raises((Unsupported, ValueError)):
        read_rule([odd, {"drop": None}], "")


def test_a_match_behind_a_statement_is_not_ours() -> None:
    """It would not be asked before what it stands behind."""
    match: dict[str, Any] = {
        "match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}
    }
    log: dict[str, Any] = {"log": {"prefix": "x"}}
    assert read_rule([match, log, {"drop": None}], "").statements == (Log("x"),)
    with pytest.raises(Unsupported):
        read_rule([log, match, {"drop": None}], "")
    with pytest.raises(ParseError):
        parse_rule(Tokens('log prefix "x" tcp dport 80 drop'))


@pytest.mark.parametrize(
    ("match", "packet", "expected"),
    [
        (Match(Field.IP_SADDR, Prefix(0, 8)), UDP, True),
        (Match(Field.IP_SADDR, Prefix(0, 8), negated=True), UDP, False),
        (Match(Field.IP6_SADDR, Prefix(0, 8)), UDP, False),
        (Match(Field.IP6_SADDR, Prefix(0, 8), negated=True), UDP, False),
        (Match(Field.TCP_DPORT, Numbers(((53, 53),))), UDP, False),
        (Match(Field.TCP_DPORT, Numbers(((53, 53),)), negated=True), UDP, False),
        (Match(Field.UDP_DPORT, Numbers(((50, 53),))), UDP, True),
        (Match(Field.IIFNAME, Word("veth*")), UDP, True),
        (Match(Field.IIFNAME, Word("veth2")), UDP, False),
        (Match(Field.OIFNAME, Word("veth2"), negated=True), UDP, True),
        (Match(Field.IP_PAIR, InSet(SetName("pairs"))), UDP, True),
        (Match(Field.IP6_PAIR, InSet(SetName("pairs")), negated=True), UDP, False),
    ],
)
def test_a_packet_without_the_field_matches_neither(match: Match, packet: Packet, expected: bool) -> None:
    def has(_name: SetName, key: Key) -> bool:
        return key == (1, 2)

    assert holds(match, packet, has) == expected, print_match(match)


ARP_REPLY = Packet(4, 0, 0, 0, network=ARP, iifname="veth1", arp=Arp(1, 2, operation=2))
TAGGED = replace(UDP, vlan=0)
TAGGED_ARP = replace(ARP_REPLY, vlan=0)
SOLICITATION = Packet(6, 1, 2, "icmpv6", icmp_type=135, hop_limit=255, iifname="veth1", target=7)


@pytest.mark.parametrize(
    ("field", "packet", "expected"),
    [
        (Field.ETHER_TYPE, UDP, IP),
        (Field.ETHER_TYPE, ARP_REPLY, ARP),
        (Field.ETHER_TYPE, TAGGED, VLAN),
        (Field.ETHER_TYPE, replace(UDP, vlan=0, vlan_type=QINQ, network=VLAN), QINQ),
        (Field.META_PROTOCOL, TAGGED, IP),
        (Field.META_PROTOCOL, replace(UDP, vlan=0, vlan_type=QINQ, network=VLAN), VLAN),
        (Field.IP_SADDR, TAGGED, 1),
        (Field.IP_SADDR, replace(TAGGED, network=VLAN), None),
        (Field.IP_SADDR, ARP_REPLY, None),
        (Field.META_L4PROTO, ARP_REPLY, None),
        (Field.UDP_DPORT, ARP_REPLY, None),
        (Field.ARP_OPERATION, ARP_REPLY, 2),
        (Field.ARP_SADDR_IP, ARP_REPLY, 1),
        (Field.ARP_SADDR_IP, TAGGED_ARP, None),
        (Field.ARP_SADDR_IP, UDP, None),
        (Field.IIFNAME_ARP_SADDR_IP, ARP_REPLY, ("veth1", 1)),
        (Field.IIFNAME_ARP_SADDR_IP, UDP, None),
        (Field.IIFNAME_IP_SADDR, UDP, ("veth1", 1)),
        (Field.IIFNAME_IP6_SADDR, UDP, None),
        (Field.IIFNAME_IP6_SADDR, SOLICITATION, ("veth1", 1)),
        (Field.IIFNAME_TARGET, SOLICITATION, ("veth1", 7)),
        (Field.IIFNAME_TARGET, UDP, None),
        (Field.IP6_HOPLIMIT, SOLICITATION, 255),
        (Field.IP_TTL, SOLICITATION, None),
        (Field.ICMPV6_TYPE, SOLICITATION, 135),
        (Field.ICMPV6_TYPE, replace(SOLICITATION, vlan=0), None),
        (Field.OIFNAME_IP_DADDR, replace(UDP, oifname="veth2"), ("veth2", 2)),
        (Field.UDP_SPORT, replace(UDP, sport=68), 68),
        (Field.TCP_SPORT, replace(UDP, sport=68), None),
    ],
)
def test_what_a_packet_has_of_a_field(field: Field, packet: Packet, expected: Key | None) -> None:
    """As nft asks for it in family bridge: addresses behind one tag, ARP and ICMPv6 only without."""
    assert expected == field.row.read(packet)


@pytest.mark.parametrize(
    "pair",
    [
        (Match(Field.ETHER_TYPE, numbers(IP)), Match(Field.IP_SADDR, InSet(SetName("s")))),
        (Match(Field.META_PROTOCOL, numbers(IP6)), Match(Field.ICMPV6_TYPE, numbers(135))),
        (Match(Field.ETHER_TYPE, numbers(ARP)), Match(Field.IIFNAME_ARP_SADDR_IP, InSet(SetName("s")))),
        (Match(Field.META_L4PROTO, numbers(17)), Match(Field.UDP_DPORT, numbers(53))),
        (Match(Field.UDP_DPORT, numbers(53)), Match(Field.UDP_SPORT, numbers(53))),
        (Match(Field.META_L4PROTO, numbers(58)), Match(Field.IIFNAME_TARGET, InSet(SetName("s")))),
    ],
)
def test_what_nft_lists_otherwise_is_not_printed(pair: tuple[Match, Match]) -> None:
    """A table with it would never be as it should be."""
    rule = Rule(Drop(), pair)
    with pytest.raises(CompilerBug):
        print_rule(rule)
    assert print_rule(replace(rule, matches=pair[:1]))


def test_every_row_says_what_a_packet_has() -> None:
    """A value of its kind, for a packet that has everything."""
    for packet in (
        ARP_REPLY,
        TAGGED,
        SOLICITATION,
        Packet(4, 1, 2, "tcp", 80, iifname="a", oifname="b"),
        Packet(4, 1, 2, "udp", 80),
        Packet(4, 1, 2, "sctp", 80),
        Packet(6, 1, 2, "icmpv6", icmp_type=135, iifname="a", oifname="b"),
    ):
        for field in Field:
            value = field.row.read(packet)
            match field.row.kind:
                case Range(highest) if value is not None:
                    assert isinstance(value, int)
                    assert 0 <= value <= highest
                case Keys(key_type) if value is not None:
                    assert isinstance(value, tuple) == (len(key_type.kinds) > 1)
                case _:
                    pass
