"""The chains and sets of one ruleset as they come into being: named by content, made once, shared by all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from struct import pack
from typing import Literal, TypeAlias

from policyd_compiler.addr import Interval, Ranges
from policyd_compiler.lower.classes import HostIndex, few_bits
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Drop,
    Goto,
    Reject,
    Return,
    Rule,
    Set,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.expressions import Field, Match, Numbers, numbers, port_field
from policyd_compiler.nft.keys import KEY, L4, PAIR, Family, Key, KeyType, PortSide, SetName
from policyd_compiler.nft.packet import PROTOCOL_NUMBERS
from policyd_compiler.nft.printer import print_rule, verdict_texts
from policyd_compiler.ports import ALL_NUMBERS, EVERYTHING, NOTHING, PortSet
from policyd_compiler.room import capacity

UNNAMED = SetName("")
_PREFIX: Mapping[PortSide, str] = {"dport": "ports", "sport": "answers"}
_BITS_OF_TEXT = bytes.maketrans(b"01", b"\x00\x01")
#: Where so few bits of a mask are set, they are found one by one faster than by reading it.
_SPARSE = 32
#: Past this a name made of port numbers is no longer readable.
_LONGEST_PORTS = 48

#: The addresses of a family behind a mask of hosts.
Lists: TypeAlias = dict[tuple[int, int], tuple[int, ...]]


class Objects:
    """Collects sets, maps and chains while a snapshot is lowered."""

    def __init__(self, deny: Literal["drop", "reject"], names: Names, lists: Lists | None = None) -> None:
        """`lists`: of the same hosts, from other objects."""
        self.sets: dict[SetName, Set] = {}
        self.maps: dict[SetName, VerdictMap] = {}
        self.chains: dict[ChainName, Chain] = {}
        self._names = names
        self._deny = deny
        #: Sets and maps of peers by prefix and identity, and verdicts by what they let pass.
        self.peers: dict[tuple[str, str], SetName] = {}
        self.verdicts: dict[tuple[PortSet, PortSide], Verdict] = {}
        self._addresses: Lists = {} if lists is None else lists

    def addresses(self, index: HostIndex, family: Family, mask: int) -> tuple[int, ...]:
        """The addresses of a family behind a mask of hosts, sorted."""
        known = self._addresses.get((family, mask))
        if known is None:
            if mask.bit_count() * _SPARSE < mask.bit_length():
                found = [index.addresses[bit] for bit in few_bits(mask)]
            else:
                selectors = bin(mask)[:1:-1].encode().translate(_BITS_OF_TEXT)
                found = list(compress(index.addresses, selectors))
            known = tuple(sorted(a for a in found if a is not None))
            self._addresses[(family, mask)] = known
        return known

    def add_chain(
        self, prefix: str, suffix: str, rules: tuple[Rule, ...], notes: tuple[str, ...]
    ) -> ChainName:
        """Add a chain `prefix-HASH-suffix` with these rules, or find the one there is."""
        content = "\n".join(map(print_rule, rules)).encode()
        claimed, new = self._names.of_content(prefix, content, suffix)
        name = ChainName(claimed)
        if new:
            self.chains[name] = Chain(name, rules, notes=notes)
        return name

    def add_host_set(self, prefix: str, family: Family, addresses: tuple[int, ...]) -> SetName:
        """Add a hash set of single addresses, or find the one there is."""
        return self._add_set(prefix, Set(UNNAMED, KEY[family], addresses, size=len(addresses)))

    def add_peer_set(self, prefix: str, identity: str, family: Family, addresses: tuple[int, ...]) -> SetName:
        """Add a set of peers that keeps its name while they come and go, or find the one there is.

        Equal identities must have equal members. Without an identity, members make the name.
        """
        part = Set(UNNAMED, KEY[family], addresses, size=capacity(len(addresses)))
        if not identity:
            return self._add_set(prefix, part)
        name, new = self._claim_peers(prefix, identity, identity)
        if new:
            self.sets[name] = replace(part, name=name)
        return name

    def add_peer_map(
        self, prefix: str, identity: str, family: Family, elements: tuple[tuple[int, Verdict], ...]
    ) -> SetName:
        """The same for a verdict map of peers."""
        part = VerdictMap(UNNAMED, KEY[family], elements, size=capacity(len(elements)))
        if not identity:
            return self._add_map(prefix, part)
        name, new = self._claim_peers(prefix, identity, f"{self._deny} {identity}")
        if new:
            self.maps[name] = replace(part, name=name)
        return name

    def _claim_peers(self, prefix: str, identity: str, content: str) -> tuple[SetName, bool]:
        """The name that stands for an identity, and whether it is new; noted for who follows pods."""
        claimed, new = self._names.of_content(prefix, content.encode())
        name = self.peers[prefix, identity] = SetName(claimed)
        return name, new

    def add_pair_set(self, prefix: str, family: Family, pairs: tuple[tuple[int, int], ...]) -> SetName:
        """Add a hash set of (source, destination), or find the one there is."""
        return self._add_set(prefix, Set(UNNAMED, PAIR[family], pairs, size=len(pairs)))

    def add_range_set(self, prefix: str, family: Family, ranges: tuple[Interval, ...]) -> SetName:
        """Add an interval set, or find the one there is."""
        return self._add_set(prefix, Set(UNNAMED, KEY[family], ranges, interval=True))

    def add_interface_set(self, prefix: str, names: tuple[str, ...]) -> SetName:
        """Add a set of interface names, each with a `*` after it or not, or find the one there is."""
        return self._add_set(prefix, Set(UNNAMED, KeyType.IFNAME, names, interval=True))

    def add_set(self, prefix: str, key: KeyType, elements: tuple[Key, ...]) -> SetName:
        """Add a hash set of any keys, or find the one there is."""
        return self._add_set(prefix, Set(UNNAMED, key, elements, size=len(elements)))

    def _add_set(self, prefix: str, part: Set) -> SetName:
        content = _bytes_of(part)
        claimed, new = self._names.of_content(prefix, content)
        name = SetName(claimed)
        if new:
            self.sets[name] = replace(part, name=name)
        return name

    def add_host_map(self, prefix: str, family: Family, elements: tuple[tuple[int, Verdict], ...]) -> SetName:
        """Add a verdict map of single addresses, or find the one there is."""
        return self._add_map(prefix, VerdictMap(UNNAMED, KEY[family], elements, size=len(elements)))

    def add_range_map(
        self, prefix: str, family: Family, elements: tuple[tuple[Interval, Verdict], ...]
    ) -> SetName:
        """Add a verdict map of address ranges, or find the one there is."""
        return self._add_map(prefix, VerdictMap(UNNAMED, KEY[family], elements, interval=True))

    def add_map(self, prefix: str, key: KeyType, elements: tuple[tuple[Key, Verdict], ...]) -> SetName:
        """Add a verdict map of any keys, or find the one there is."""
        return self._add_map(prefix, VerdictMap(UNNAMED, key, elements, size=len(elements)))

    def _add_map(self, prefix: str, part: VerdictMap) -> SetName:
        content = _bytes_of(part) + "\n".join(verdict_texts(part)).encode()
        claimed, new = self._names.of_content(prefix, content)
        name = SetName(claimed)
        if new:
            self.maps[name] = replace(part, name=name)
        return name

    def deny(self) -> Verdict:
        """How a packet that policy forbids is refused (decisions 5)."""
        if self._deny == "drop":
            return Drop()
        # A verdict map cannot hold `reject`, so it stands in a chain.
        return Goto(self.add_chain("reject", "", (Rule(Reject()),), ()))

    def verdict(self, ports: PortSet, side: PortSide = "dport") -> Verdict:
        """Where a packet goes whose peer may use `ports`: on, away, or to a chain that looks at its port.

        `side`: whether the packet asks for the port, or answers from it.
        """
        known = self.verdicts.get((ports, side))
        if known is None:
            known = self.verdicts[ports, side] = self._make_verdict(ports, side)
        return known

    def difference(self, base: Verdict, denied: PortSet, allowed: PortSet, side: PortSide) -> Verdict:
        """To a chain that does what `base` does, but for these ports."""
        rules = (
            *(Rule(self.deny(), (match,)) for match in port_matches(denied, side)),
            *(Rule(Return(), (match,)) for match in port_matches(allowed, side)),
            Rule(base),
        )
        return Goto(self.add_chain(f"{_PREFIX[side]}-x", "", rules, ()))

    def _make_verdict(self, ports: PortSet, side: PortSide) -> Verdict:
        if ports == EVERYTHING:
            return Return()
        if ports == NOTHING:
            return self.deny()
        rules = (*(Rule(Return(), (match,)) for match in port_matches(ports, side)), Rule(self.deny()))
        content = "\n".join(map(print_rule, rules)).encode()
        text = _ports_name(ports) + ("" if self._deny == "drop" else f"-{self._deny}")
        if len(text) <= _LONGEST_PORTS:
            claimed, _ = self._names.claim(f"{_PREFIX[side]}-{text}", content)
        else:
            claimed, _ = self._names.of_content(f"{_PREFIX[side]}-x", content)
        name = ChainName(claimed)
        self.chains[name] = Chain(name, rules)
        return Goto(name)


def port_matches(ports: PortSet, side: PortSide = "dport") -> tuple[Match, ...]:
    """The matches that together are `ports`: at most one for each of TCP, UDP, SCTP and the rest."""
    matches: list[Match] = []
    of_each: tuple[tuple[L4, Ranges], ...] = (("tcp", ports.tcp), ("udp", ports.udp), ("sctp", ports.sctp))
    for protocol, ranges in of_each:
        if ranges == ALL_NUMBERS:
            matches.append(Match(Field.META_L4PROTO, numbers(PROTOCOL_NUMBERS[protocol])))
        elif ranges:
            matches.append(Match(port_field(protocol, side), Numbers(ranges)))
    if ports.other:
        with_ports = numbers(*(PROTOCOL_NUMBERS[protocol] for protocol, _ in of_each))
        matches.append(Match(Field.META_L4PROTO, with_ports, negated=True))
    return tuple(matches)


def _ports_name(ports: PortSet) -> str:
    parts: list[str] = []
    for protocol, ranges in (("tcp", ports.tcp), ("udp", ports.udp), ("sctp", ports.sctp)):
        if ranges == ALL_NUMBERS:
            parts.append(protocol)
        elif ranges:
            numbers = ".".join(str(low) if low == high else f"{low}_{high}" for low, high in ranges)
            parts.append(f"{protocol}.{numbers}")
    if ports.other:
        parts.append("other")
    return "-".join(parts)


def _bytes_of(part: Set | VerdictMap) -> bytes:
    """Bytes that differ for different keys of one type; the type is in the name before the hash."""
    keys = part.elements if isinstance(part, Set) else tuple(key for key, _ in part.elements)
    if part.key is KeyType.V4 and not part.interval:
        return pack(f">{len(keys)}I", *keys)
    if part.key is KeyType.V6 and not part.interval:
        return b"".join([key.to_bytes(16) for key in keys if isinstance(key, int)])
    return repr(keys).encode()
