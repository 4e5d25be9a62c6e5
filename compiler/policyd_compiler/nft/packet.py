"""A packet, as a chain at a hook meets it: what matches look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd_compiler.nft.keys import Family

HookName: TypeAlias = Literal["forward", "input", "output"]
CtStateName: TypeAlias = Literal["established", "related", "new", "invalid", "untracked"]

#: nft looks names up in /etc/protocols, which a minimal system has not.
PROTOCOL_NUMBERS: Mapping[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
#: Names of protocols as nft prints them, for packets that give a number.
PROTOCOL_NAMES: Mapping[int, str] = {number: name for name, number in PROTOCOL_NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet at one hook. Addresses are integers, `dport` counts for TCP, UDP and SCTP only.

    `fib_local`: the source is an address of this node. `dnat`: this node rewrote the destination.
    """

    family: Family
    saddr: int
    daddr: int
    protocol: str | int
    dport: int | None = None
    hook: HookName = "forward"
    iifname: str = ""
    oifname: str = ""
    ct_state: CtStateName = "new"
    dnat: bool = False
    fib_local: bool = False
    tcp_syn: bool = True
    icmp_type: int | None = None

    @property
    def protocol_name(self) -> str:
        """The protocol as `meta l4proto` is written."""
        if isinstance(self.protocol, int):
            return PROTOCOL_NAMES.get(self.protocol, str(self.protocol))
        return "ipv6-icmp" if self.protocol == "icmpv6" else self.protocol

    @property
    def protocol_number(self) -> int:
        """The protocol as the packet has it. Raises ValueError for a name that no rule of ours knows."""
        name = self.protocol_name
        return PROTOCOL_NUMBERS.get(name) or int(name)
