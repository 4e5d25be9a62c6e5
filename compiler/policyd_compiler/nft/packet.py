"""A packet, as a chain at a hook meets it: what matches look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd_compiler.nft.keys import Family

HookName: TypeAlias = Literal["prerouting", "input", "forward", "output", "postrouting"]
PacketType: TypeAlias = Literal["host", "broadcast", "multicast", "other"]
CtStateName: TypeAlias = Literal["established", "related", "new", "invalid", "untracked"]

#: nft looks names up in /etc/protocols, which a minimal system has not.
PROTOCOL_NUMBERS: Mapping[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
#: Names of protocols as nft prints them, for packets that give a number.
PROTOCOL_NAMES: Mapping[int, str] = {number: name for name, number in PROTOCOL_NUMBERS.items()}


#: EtherTypes.
IP, IP6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
ETHER_OF_FAMILY: Mapping[Family, int] = {4: IP, 6: IP6}


@dataclass(frozen=True, slots=True)
class Arp:
    """What an ARP packet says; 0.0.0.0 as the sender's address in a probe."""

    saddr: int
    daddr: int
    operation: int = 1
    saddr_ether: int = 0
    htype: int = 1
    ptype: int = IP
    hlen: int = 6
    plen: int = 4


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet at one hook. Addresses are integers, ports count for TCP, UDP and SCTP only.

    `fib_local`: the source is an address of this node. `dnat`: this node rewrote the destination.
    `network` is what follows all tags that the kernel takes off, an EtherType; None: IP of this family. With
    another one, ARP among them, there are no addresses of IP, no protocol and no ports. `vlan` is the number
    in the outer tag, of the type `vlan_type`; None: untagged. A second tag is `network=VLAN`.
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
    sport: int | None = None
    hop_limit: int = 64
    target: int | None = None  # of a neighbour solicitation or advertisement
    fib_daddr: str = "unicast"
    network: int | None = None
    vlan: int | None = None
    vlan_type: int = VLAN
    ether_saddr: int = 0
    ether_daddr: int = 0
    pkttype: PacketType = "host"
    arp: Arp | None = None

    @property
    def network_type(self) -> int:
        """The EtherType of what follows the tags, as `meta protocol` has it."""
        return ETHER_OF_FAMILY[self.family] if self.network is None else self.network

    def is_ip(self, family: Family | None = None) -> bool:
        """Whether it is of this family, or of any, and has addresses and a protocol."""
        return self.family == (family or self.family) and self.network_type == ETHER_OF_FAMILY[self.family]

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
