"""What a proof says: proved, or packets of which ruleset and policies say different things."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypeAlias

from policyd_compiler.nft.packet import Packet

Says: TypeAlias = Literal["allow", "drop"]


@dataclass(frozen=True)
class Difference:
    """A packet of which both sides say different things.

    `policies` and `ruleset` say what they do with it; `why` names the rule of a policy that decides, or the
    policies that isolate, `file` and `line` where. `chain` and `rule` (from 1) decide in the ruleset, `text`
    is that rule. A run of this one packet through the ruleset came to the same.
    """

    packet: Packet
    policies: Says
    why: str
    file: str
    line: int
    ruleset: Says
    chain: str
    rule: int
    text: str

    def __str__(self) -> str:
        at = f" (chain {self.chain}, rule {self.rule})" if self.chain else ""
        return (
            f"{packet_text(self.packet)}: policies {self.policies} ({self.why}), ruleset {self.ruleset}s{at}"
        )


@dataclass(frozen=True)
class Proof:
    """Whether a node's ruleset does with every packet what the policies say.

    `unprovable`: what of the ruleset could not be followed; then nothing is proved. `apart`: how many kinds
    of packets were told apart. `not_covered`: what else there is that a proof says nothing of.
    """

    node: str
    table: str
    endpoints: int
    chains: int
    apart: int
    differences: tuple[Difference, ...] = ()
    unprovable: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = field(default=())

    @property
    def proved(self) -> bool:
        return not self.differences and not self.unprovable


def packet_text(packet: Packet) -> str:
    """A packet as people write it."""
    family = packet.family
    name = packet.protocol_name
    port = "" if packet.dport is None else f" {packet.dport}"
    details = [f"hook {packet.hook}"] if packet.hook != "forward" else []
    if packet.ct_state != "new":
        details.append(packet.ct_state)
    if packet.sport is not None and packet.ct_state != "new":
        details.append(f"from port {packet.sport}")
    if name == "tcp" and not packet.tcp_syn:
        details.append("opens no connection")
    if packet.dnat:
        details.append("through a Service")
    if packet.fib_local:
        details.append("the node's address as source")
    if packet.icmp_type is not None and name in ("icmp", "ipv6-icmp"):
        details.append(f"type {packet.icmp_type}")
    details += [f"by {packet.iifname}"] if packet.iifname else []
    details += [f"out by {packet.oifname}"] if packet.oifname else []
    shown = name.upper() if name in ("tcp", "udp", "sctp", "icmp") else name
    more = f" [{', '.join(details)}]" if details else ""
    return f"{_address(family, packet.saddr)} → {_address(family, packet.daddr)} {shown}{port}{more}"


def _address(family: int, address: int) -> str:
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))
