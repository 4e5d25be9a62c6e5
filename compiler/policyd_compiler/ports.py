"""Which destination ports and protocols: a value with set algebra, closed under union and difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from policyd_compiler.addr import Ranges, contains, intersect, subtract, union

#: Every port number, 0 included: "all TCP" means the protocol (NP-017, NP-026).
ALL_NUMBERS: Ranges = ((0, 65535),)


@dataclass(frozen=True)
class PortSet:
    """Destination ports by protocol; `other` is every packet that is not TCP, UDP or SCTP (NP-060)."""

    tcp: Ranges = ()
    udp: Ranges = ()
    sctp: Ranges = ()
    other: bool = False

    @cached_property
    def hash(self) -> int:
        """The value's hash, computed once: many addresses share a set, and a set may hold many ranges."""
        return hash((self.tcp, self.udp, self.sctp, self.other))

    def __hash__(self) -> int:
        return self.hash

    def __bool__(self) -> bool:
        return self != NOTHING

    def __or__(self, them: PortSet) -> PortSet:
        return PortSet(
            union((*self.tcp, *them.tcp)),
            union((*self.udp, *them.udp)),
            union((*self.sctp, *them.sctp)),
            self.other or them.other,
        )

    def __and__(self, them: PortSet) -> PortSet:
        return PortSet(
            intersect(self.tcp, them.tcp),
            intersect(self.udp, them.udp),
            intersect(self.sctp, them.sctp),
            self.other and them.other,
        )

    def __sub__(self, them: PortSet) -> PortSet:
        return PortSet(
            subtract(self.tcp, them.tcp),
            subtract(self.udp, them.udp),
            subtract(self.sctp, them.sctp),
            self.other and not them.other,
        )

    def allows(self, protocol: str, port: int) -> bool:
        """Whether a packet of `tcp`, `udp`, `sctp` or anything else to `port` is in the set."""
        match protocol:
            case "tcp":
                return contains(self.tcp, port)
            case "udp":
                return contains(self.udp, port)
            case "sctp":
                return contains(self.sctp, port)
            case _:
                return self.other


NOTHING = PortSet()
EVERYTHING = PortSet(ALL_NUMBERS, ALL_NUMBERS, ALL_NUMBERS, other=True)


def union_ports(sets: Iterable[PortSet]) -> PortSet:
    """The union of any number of port sets, merged once."""
    items = tuple(sets)
    if len(items) == 1:
        return items[0]
    return PortSet(
        union(r for s in items for r in s.tcp),
        union(r for s in items for r in s.udp),
        union(r for s in items for r in s.sctp),
        any(s.other for s in items),
    )
