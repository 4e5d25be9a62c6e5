"""All packets of one family as boxes: for each side of a packet the values that are left, as a mask.

Rules look at few fields, and tell apart few values of each. A box has a mask for each of `SIDES`; a match
cuts it in what matches and what does not, and both are boxes again. nft's meaning of a field is written down
here a second time: the simulator's is the compiler's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from policyd.proof.line import Line, block, lowest
from policyd.proof.points import Addresses
from policyd_compiler.nft.expressions import Field, InSet, Match, Numbers, Prefix, Right, Word
from policyd_compiler.nft.keys import Family

#: The sides of a box: sender (interface and address), receiver, protocol with the port that is asked for, the
#: port that asks, state and status of conntrack, what the node's routes know of both addresses, whether TCP
#: opens, ICMP's type, the hop limit, and which sets of pairs hold both addresses.
SIDES = (
    *("sender", "receiver", "asked", "asking", "state", "status", "from_node", "to", "opens", "icmp"),
    *("hops", "pair"),
)
SENDER, RECEIVER, ASKED, ASKING, STATE, STATUS, FROM_NODE, TO, OPENS, ICMP, HOPS, PAIR = range(12)

#: A mask for each side, and what the packets in it still have to be asked.
Box: TypeAlias = tuple[int, ...]
#: What must hold of a side: the bits that may be left of it.
Condition: TypeAlias = tuple[int, int]

STATES = ("established", "related", "new", "invalid", "untracked")
DESTINATIONS = ("local", "unicast", "broadcast", "anycast", "multicast", "other")
WITH_PORTS = (6, 17, 132)
_OTHERS = tuple(number for number in range(256) if number not in WITH_PORTS)
_ICMP_OF: Mapping[Field, tuple[Family, int]] = {Field.ICMP_TYPE: (4, 1), Field.ICMPV6_TYPE: (6, 58)}
_PORT_FIELDS: Mapping[Field, tuple[int, int]] = {
    Field.TCP_DPORT: (6, ASKED),
    Field.UDP_DPORT: (17, ASKED),
    Field.SCTP_DPORT: (132, ASKED),
    Field.TCP_SPORT: (6, ASKING),
    Field.UDP_SPORT: (17, ASKING),
    Field.SCTP_SPORT: (132, ASKING),
}
ADDRESSES: Mapping[Field, tuple[Family, int]] = {
    Field.IP_SADDR: (4, SENDER),
    Field.IP_DADDR: (4, RECEIVER),
    Field.IP6_SADDR: (6, SENDER),
    Field.IP6_DADDR: (6, RECEIVER),
}
_AT_LINKS: Mapping[Field, tuple[Family, int]] = {
    Field.IIFNAME_IP_SADDR: (4, SENDER),
    Field.IIFNAME_IP6_SADDR: (6, SENDER),
    Field.OIFNAME_IP_DADDR: (4, RECEIVER),
    Field.OIFNAME_IP6_DADDR: (6, RECEIVER),
}
_PAIRS: Mapping[Field, Family] = {Field.IP_PAIR: 4, Field.IP6_PAIR: 6}
#: What is told apart for hooks only.
_OF_HOOKS = (Field.IIFNAME, Field.OIFNAME, *_AT_LINKS, *_PAIRS)
_HOPS: Mapping[Field, Family] = {Field.IP_TTL: 4, Field.IP6_HOPLIMIT: 6}


class Unprovable(Exception):
    """Something of the ruleset that no proof here covers; the sentence says what."""


@dataclass(frozen=True)
class Asked:
    """Protocols with the ports that are asked for: for TCP, UDP and SCTP a bit for each stretch of ports."""

    ports: Line

    @cached_property
    def full(self) -> int:
        return (1 << 3 * self.ports.count + len(_OTHERS)) - 1

    @cached_property
    def others(self) -> int:
        """Every protocol without ports."""
        return (1 << len(_OTHERS)) - 1 << 3 * self.ports.count

    def of(self, protocol: int, ports: int | None = None) -> int:
        """One protocol, with some ports of it if it has any, or all."""
        if protocol in WITH_PORTS:
            mask = self.ports.full if ports is None else ports
            return mask << WITH_PORTS.index(protocol) * self.ports.count
        return 1 << 3 * self.ports.count + _OTHERS.index(protocol)

    def ports_of(self, mask: int, protocol: int) -> int:
        """The ports of one protocol in a mask."""
        return mask >> WITH_PORTS.index(protocol) * self.ports.count & self.ports.full

    def first(self, mask: int) -> tuple[int, int | None]:
        """A protocol of a mask, and one of its ports; those that people know first."""
        for protocol in WITH_PORTS:
            if ports := self.ports_of(mask, protocol):
                return protocol, self.ports.first(lowest(ports))
        named = [n for n in (1, 58) if mask & self.of(n)]
        return (named or [_OTHERS[lowest(mask >> 3 * self.ports.count)]])[0], None


@dataclass(frozen=True)
class Space:
    """The packets of a family, told apart by these addresses, interfaces, ports and pairs of addresses.

    `links` are interfaces that stand for all that no rule tells from them. `sets` are the contents of the
    named sets, by name; `pairs` the kinds of pairs that sets of pairs tell apart, first those in none. With
    one link neither interfaces nor pairs are told apart, and no rule may ask for them.
    """

    family: Family
    addresses: Addresses
    links: tuple[str, ...]
    asked: Asked
    sets: Mapping[str, Sequence[object]]
    pairs: tuple[frozenset[object], ...] = (frozenset(),)

    @cached_property
    def full(self) -> Box:
        """Every packet."""
        return self.every_packet()

    def every_packet(self) -> Box:
        """All that a packet can be."""
        end = (1 << self.addresses.count * len(self.links)) - 1
        byte = (1 << 256) - 1
        return (
            *(end, end, self.asked.full, self.asked.ports.full, (1 << len(STATES)) - 1, 3, 3),
            *((1 << len(DESTINATIONS)) - 1, 3, byte, byte, (1 << len(self.pairs)) - 1),
        )

    # --- sides -----------------------------------------------------------------------------------------

    def at(self, addresses: int) -> int:
        """The ends with these addresses, by any interface."""
        size = len(self.links)
        if size == 1 or not addresses:
            return addresses
        return int(bin(addresses)[2:].replace("1", "1" * size).replace("0", "0" * size), 2)

    def by(self, links: Iterable[int]) -> int:
        """The ends by these interfaces, with any address."""
        size, pattern = len(self.links), sum(1 << link for link in links)
        return pattern * (((1 << size * self.addresses.count) - 1) // ((1 << size) - 1))

    def link_number(self, name: str) -> int | None:
        """Which interface a name stands for; None for one that was not given."""
        return self._numbers_of_links.get(name)

    def named(self, patterns: Iterable[str]) -> int:
        """The ends by interfaces of these names, each with a `*` behind it or not."""
        found: set[int] = set()
        for pattern in patterns:
            if pattern.endswith("*"):
                begins = pattern[:-1]
                found.update(number for number, name in enumerate(self.links) if name.startswith(begins))
            elif (number := self._numbers_of_links.get(pattern)) is not None:
                found.add(number)
        return self.by(sorted(found))

    @cached_property
    def _numbers_of_links(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.links)}

    def bound(self, pairs: Iterable[tuple[str, int]]) -> int:
        """The ends that are such an interface with such an address."""
        size, found = len(self.links), 0
        for name, address in pairs:
            number = self.link_number(name)
            if number is None:
                raise Unprovable(f"an interface that nothing names: {name}")
            found |= 1 << self.addresses.bit(address) * size + number
        return found

    def single(self, addresses: Iterable[int]) -> int:
        """The ends with these addresses, by any interface."""
        return self.at(self.addresses.mask((address, address) for address in addresses))

    def prefix(self, network: int, length: int) -> int:
        """The ends in a prefix, by any interface."""
        return self.at(self.addresses.mask((block(network, length, self.family),)))

    def end(self, bit: int) -> tuple[str, int]:
        """An interface and an address that a bit of a sender or receiver stands for."""
        address, link = divmod(bit, len(self.links))
        return self.links[link], self.addresses.first(address)

    # --- matches ---------------------------------------------------------------------------------------

    def conditions(self, match: Match) -> tuple[Condition, ...] | None:
        """What a match asks, all of which must hold; None where no packet of the family has the field.

        Raises Unprovable.
        """
        found = self.having(match.field)
        if found is None:
            return None
        having, side = found
        mask, full = self.values(match.field, match.right), self.full[side]
        if side == ASKED and match.field in _PORT_FIELDS:
            protocol = _PORT_FIELDS[match.field][0]
            full, mask = self.asked.of(protocol), self.asked.of(protocol, mask)
        return (*having, (side, full & ~mask if match.negated else mask))

    @property
    def unasked(self) -> Collection[Field]:
        """What is not told apart here, so that no rule may ask for it."""
        return _OF_HOOKS if len(self.links) == 1 else ()

    def having(self, field: Field) -> tuple[tuple[Condition, ...], int] | None:
        """What a packet with the field is, and the side that the field is on. Raises Unprovable."""
        if field in self.unasked:
            raise Unprovable(f"a rule asks for {field.row.text} where policies are asked")
        simple = {
            Field.CT_STATE: STATE,
            Field.CT_STATUS: STATUS,
            Field.FIB_SADDR_TYPE: FROM_NODE,
            Field.FIB_DADDR_TYPE: TO,
            Field.IIFNAME: SENDER,
            Field.OIFNAME: RECEIVER,
            Field.META_L4PROTO: ASKED,
        }
        if field in simple:
            return (), simple[field]
        for table in (ADDRESSES, _AT_LINKS):
            if field in table:
                family, side = table[field]
                return ((), side) if family == self.family else None
        if field in _PAIRS or field in _HOPS:
            family = _PAIRS.get(field) or _HOPS[field]
            return ((), PAIR if field in _PAIRS else HOPS) if family == self.family else None
        if field is Field.IP_PROTOCOL:
            return ((), ASKED) if self.family == 4 else None
        if field in _PORT_FIELDS:
            protocol, side = _PORT_FIELDS[field]
            return ((ASKED, self.asked.of(protocol)),), side
        if field is Field.TCP_FLAGS:
            return ((ASKED, self.asked.of(6)),), OPENS
        if field in _ICMP_OF:
            family, protocol = _ICMP_OF[field]
            return (((ASKED, self.asked.of(protocol)),), ICMP) if family == self.family else None
        raise Unprovable(f"a rule asks for {field.row.text}")

    def values(self, field: Field, right: Right) -> int:
        """The bits of a field's side that are what stands on the right. Raises Unprovable."""
        match right:
            case Word(word):
                return self._word(field, word)
            case Numbers(intervals):
                return self._numbers(field, intervals)
            case Prefix(network, length) if field in ADDRESSES:
                return self.prefix(network, length)
            case InSet(name):
                return self.keys(field, self._contents(name))
            case _:
                raise Unprovable(f"a rule asks whether {field.row.text} is {right}")

    def _contents(self, name: str) -> Sequence[object]:
        if name not in self.sets:
            raise Unprovable(f"a rule asks for a set that is not there: {name}")
        return self.sets[name]

    def keys(self, field: Field, keys: Iterable[object]) -> int:
        """The bits of a field's side that are one of these keys. Raises Unprovable."""
        found = tuple(keys)
        if field in (Field.IIFNAME, Field.OIFNAME):
            return self.named(str(key) for key in found)
        if field in ADDRESSES:
            try:
                return self.at(self.addresses.mask(map(_stretch, found)))
            except KeyError:  # not one of those by which addresses were told apart: of the other family
                raise Unprovable(f"{field.row.text} is looked up among addresses that are none") from None
        if field in _AT_LINKS:
            return self.bound(_pairs_of(found))
        if field in _PAIRS:
            return self.pair_of(frozenset(found))
        raise Unprovable(f"a rule asks whether {field.row.text} is in a set")

    def pair_of(self, wanted: frozenset[object]) -> int:
        """The kinds of pairs of addresses that are among these."""
        return sum(1 << bit for bit, kind in enumerate(self.pairs) if kind and kind <= wanted)

    def _word(self, field: Field, word: str) -> int:
        if field in (Field.IIFNAME, Field.OIFNAME):
            return self.named((word,))
        words: Mapping[Field, tuple[str, ...]] = {
            Field.CT_STATE: STATES,
            Field.CT_STATUS: ("", "dnat"),
            Field.FIB_SADDR_TYPE: ("other", "local"),
            Field.FIB_DADDR_TYPE: DESTINATIONS,
            Field.TCP_FLAGS: ("syn", "other"),
        }
        if word not in words.get(field, ()):
            raise Unprovable(f"a rule asks whether {field.row.text} is {word}")
        return 1 << words[field].index(word)

    def _numbers(self, field: Field, intervals: Iterable[tuple[int, int]]) -> int:
        if field in _PORT_FIELDS:
            return self.asked.ports.mask(intervals)
        if field in (Field.META_L4PROTO, Field.IP_PROTOCOL):
            return sum(self.asked.of(n) for low, high in intervals for n in range(low, high + 1))
        if field in _ICMP_OF or field in _HOPS:
            return sum((1 << high + 1) - (1 << low) for low, high in intervals)
        raise Unprovable(f"a rule asks for numbers of {field.row.text}")


def _stretch(key: object) -> tuple[int, int]:
    match key:
        case int():
            return key, key
        case (int(low), int(high)):
            return low, high
        case _:
            raise Unprovable(f"no address: {key!r}")


def _pairs_of(keys: Iterable[object]) -> Iterator[tuple[str, int]]:
    for key in keys:
        match key:
            case (str(name), int(address)):
                yield name, address
            case _:
                raise Unprovable(f"no interface with an address: {key!r}")


def cut(box: Box, conditions: Iterable[Condition]) -> tuple[Box | None, list[Box]]:
    """What of a box meets all conditions, and the rest of it in boxes."""
    rest: list[Box] = []
    for side, mask in conditions:
        value = box[side]
        inside = value & mask
        if not inside:
            rest.append(box)
            return None, rest
        if inside != value:
            rest.append((*box[:side], value & ~mask, *box[side + 1 :]))
            box = (*box[:side], inside, *box[side + 1 :])
    return box, rest


def common(one: Box, other: Box) -> Box | None:
    """The packets in both; None where there are none."""
    for side in _CHEAP:
        if not one[side] & other[side]:
            return None
    found = tuple(a & b for a, b in zip(one, other, strict=True))
    return None if 0 in found else found


#: Sides by the size of their masks: boxes that have nothing in common mostly differ in a small one.
_CHEAP = (STATE, STATUS, FROM_NODE, TO, OPENS, PAIR, ICMP, HOPS, ASKED, ASKING, SENDER, RECEIVER)
