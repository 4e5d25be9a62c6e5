"""All frames on a bridge as boxes, as family bridge meets them: IPv4, IPv6, ARP, tagged ones, and the rest.

The sides of a packet (`space.py`), and what only frames have. As there, nft's meaning of a field is written
down a second time: in family bridge it finds IP behind one tag, too, but ICMPv6 and ARP in frames without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from policyd.proof.line import Line
from policyd.proof.space import RECEIVER, SENDER, Box, Condition, Space, Unprovable
from policyd_compiler.nft.expressions import Field, Numbers, Prefix, Right, Word
from policyd_compiler.nft.keys import Family

#: Behind the sides of a packet: the sender's hardware address, the target that a neighbour message names, to
#: whom the frame goes, its type, and the sender's hardware address as ARP has it.
MAC, TARGET, TO_WHOM, TYPE, ARP_MAC = range(12, 17)
WHOM = ("host", "broadcast", "multicast", "other")
IP, IP6, ARP, TAGS = 0x0800, 0x86DD, 0x0806, (0x8100, 0x88A8)
ETHER: Mapping[Family, int] = {4: IP, 6: IP6}

Kind: TypeAlias = Literal["ip", "tagged", "arp", "other"]
#: What frames there are; of ARP the addresses are IPv4.
KINDS: Mapping[Family, tuple[Kind, ...]] = {4: ("ip", "tagged", "arp", "other"), 6: ("ip", "tagged")}

_OF_ARP = {
    Field.ARP_SADDR_IP: SENDER,
    Field.IIFNAME_ARP_SADDR_IP: SENDER,
    Field.ARP_SADDR_ETHER: ARP_MAC,
    Field.IIFNAME_ARP_SADDR_ETHER: ARP_MAC,
}
_OF_FRAME = {
    Field.IIFNAME: SENDER,
    Field.OIFNAME: RECEIVER,
    Field.ETHER_SADDR: MAC,
    Field.IIFNAME_ETHER_SADDR: MAC,
    Field.ETHER_TYPE: TYPE,
    Field.META_PKTTYPE: TO_WHOM,
}
_OF_TARGET = (Field.IIFNAME_TARGET, Field.TARGET_BYTE)
#: Pairs of an interface and something: only where one interface is looked at.
_AT_PORT = (
    *(Field.IIFNAME_ETHER_SADDR, Field.IIFNAME_ARP_SADDR_ETHER, Field.IIFNAME_ARP_SADDR_IP),
    Field.IIFNAME_TARGET,
)
#: Where a frame goes: not known yet where one interface is looked at.
_AT_EXIT = (Field.OIFNAME, Field.OIFNAME_IP_DADDR, Field.OIFNAME_IP6_DADDR)


@dataclass(frozen=True)
class Frames(Space):
    """The frames of a kind. With one link only, pairs with another interface hold for none of them."""

    kind: Kind = "ip"
    macs: Line = field(default_factory=lambda: Line(48, ()))
    targets: Line = field(default_factory=lambda: Line(128, ()))
    types: Line = field(default_factory=lambda: Line(16, ()))

    @cached_property
    def full(self) -> Box:
        """Every frame of the kind."""
        by_kind = {
            "ip": self.type_of(ETHER[self.family]),
            "tagged": self.type_of(*TAGS),
            "arp": self.type_of(ARP),
            "other": self.types.full & ~self.type_of(IP, IP6, ARP),
        }
        rest = self.macs.full, self.targets.full, (1 << len(WHOM)) - 1, by_kind[self.kind], self.macs.full
        return (*self.every_packet(), *rest)

    def type_of(self, *types: int) -> int:
        """The types of frames, as a mask."""
        return self.types.mask((number, number) for number in types)

    @property
    def unasked(self) -> Collection[Field]:
        """Nothing: one link is one port, and what is said of another holds for none of its frames."""
        return ()

    def having(self, field: Field) -> tuple[tuple[Condition, ...], int] | None:
        """What a frame with the field is, and the side that the field is on."""
        if field in _AT_EXIT and len(self.links) == 1:
            raise Unprovable(f"a rule asks for {field.row.text} of what comes in")
        if field in _AT_PORT and len(self.links) > 1:
            raise Unprovable(f"a rule asks for {field.row.text} of what goes out")
        if field in _OF_FRAME:
            return (), _OF_FRAME[field]
        if field in _OF_ARP:
            return ((), _OF_ARP[field]) if self.kind == "arp" else None
        if field in _OF_TARGET:
            if self.family == 4:
                raise Unprovable(f"a rule asks for {field.row.text} of what is not ICMPv6")
            return (), TARGET
        found = super().having(field)
        if self.kind in ("arp", "other") or (field is Field.ICMPV6_TYPE and self.kind == "tagged"):
            return None
        return found

    def values(self, field: Field, right: Right) -> int:
        """The bits of a field's side that are what stands on the right. Raises Unprovable."""
        match right:
            case Numbers(intervals) if field is Field.ETHER_TYPE:
                return self.types.mask(intervals)
            case Numbers(intervals) if field is Field.TARGET_BYTE:
                return self.targets.mask((low << 120, (high + 1 << 120) - 1) for low, high in intervals)
            case Prefix(network, length) if field is Field.ARP_SADDR_IP:
                return self.prefix(network, length)
            case Word(word) if field is Field.META_PKTTYPE and word in WHOM:
                return 1 << WHOM.index(word)
            case _:
                return super().values(field, right)

    def keys(self, field: Field, keys: Iterable[object]) -> int:
        """The bits of a field's side that are one of these keys. Raises Unprovable."""
        if field in (Field.ETHER_SADDR, Field.ARP_SADDR_ETHER):
            return self.macs.mask(_singles(keys))
        if field in (Field.IIFNAME_ETHER_SADDR, Field.IIFNAME_ARP_SADDR_ETHER):
            return self.macs.mask(_singles(self._of_link(keys)))
        if field is Field.IIFNAME_TARGET:
            return self.targets.mask(_singles(self._of_link(keys)))
        if field is Field.IIFNAME_ARP_SADDR_IP:
            return self.single(self._of_link(keys))
        if field is Field.ARP_SADDR_IP:
            return self.at(self.addresses.mask(_singles(keys)))
        return super().keys(field, keys)

    def bound(self, pairs: Iterable[tuple[str, int]]) -> int:
        """The ends that are such an interface with such an address."""
        if len(self.links) > 1:
            return super().bound(pairs)
        return self.single(address for name, address in pairs if name == self.links[0])

    def _of_link(self, keys: Iterable[object]) -> Iterator[int]:
        """What the one interface has, of pairs."""
        for key in keys:
            match key:
                case (str(name), int(number)):
                    if name == self.links[0]:
                        yield number
                case _:
                    raise Unprovable(f"no interface with something: {key!r}")


def _singles(keys: Iterable[object]) -> Iterator[tuple[int, int]]:
    for key in keys:
        match key:
            case int():
                yield key, key
            case (int(low), int(high)):
                yield low, high
            case _:
                raise Unprovable(f"no number: {key!r}")
